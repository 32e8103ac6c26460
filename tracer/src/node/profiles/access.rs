//! Who may have profiles: whoever is on this machine, or whoever knows the token.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// A token has at least so many bytes: what is shorter can be guessed.
const SHORTEST: usize = 16;

/// And at most so many.
const LONGEST: usize = 4096;

/// What whoever asks must show.
pub struct Token(Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A file that has no token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It has none that could be sent or that is worth it.
    #[error("a token is {SHORTEST} to {LONGEST} visible ASCII characters")]
    Unfit,
}

impl Token {
    /// That in a file; space around it is not part of it.
    ///
    /// # Errors
    /// When the file cannot be read, or has no token that is worth it.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let mut bytes = Vec::new();
        File::open(path)?.take(LONGEST as u64 + 64).read_to_end(&mut bytes)?;
        Self::of(bytes.trim_ascii())
    }

    fn of(bytes: &[u8]) -> Result<Self, TokenError> {
        let fits = (SHORTEST..=LONGEST).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        if fits { Ok(Self(bytes.to_owned())) } else { Err(TokenError::Unfit) }
    }

    /// Whether that is it. How long this takes tells at most how long the token is.
    fn is(&self, shown: &[u8]) -> bool {
        self.0.ct_eq(shown).into()
    }
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Asked from another machine, and there is no token that could be shown.
    #[error(
        "profiles are for whoever is on this machine: from elsewhere they are to be had with a token \
         (gotrace node run --pprof --pprof-token FILE)"
    )]
    Remote,
    /// A page in a browser on this machine may ask under a name that it had made to lead here.
    #[error("ask for localhost or an address: whoever asks by another name may have been led here")]
    Name,
    /// There is a token, and it was not shown.
    #[error("a token is needed: Authorization: Bearer TOKEN, or http://gotrace:TOKEN@host for go tool pprof")]
    Token,
}

/// Whether somebody at that address may, who sent these headers.
pub(super) fn check(token: Option<&Token>, peer: IpAddr, headers: &HeaderMap) -> Result<(), Refusal> {
    match token {
        Some(token) => match shown(headers) {
            Some(shown) if token.is(&shown) => Ok(()),
            _ => Err(Refusal::Token),
        },
        None if !peer.to_canonical().is_loopback() => Err(Refusal::Remote),
        None if !names_an_address(headers) => Err(Refusal::Name),
        None => Ok(()),
    }
}

/// What was shown for a token: `go tool pprof` can only show a user's password.
fn shown(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, shown) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(shown.trim().as_bytes().to_owned()),
        "basic" => {
            let both = BASE64_STANDARD.decode(shown.trim()).ok()?;
            let colon = both.iter().position(|byte| *byte == b':')?;
            Some(both[colon + 1..].to_owned())
        }
        _ => None,
    }
}

fn names_an_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Ok(authority) = host.parse::<hyper::http::uri::Authority>() else { return false };
    let name = authority.host();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "127.0.0.1";
    const REMOTE: &str = "192.0.2.1";

    fn checked(token: Option<&Token>, peer: &str, sent: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        check(token, peer.parse().unwrap(), &headers)
    }

    #[test]
    fn without_a_token_only_this_machine_by_no_other_name() {
        let host = |host| [("host", host)];
        for (peer, name) in [
            (LOCAL, "127.0.0.1:9464"),
            ("127.8.0.1", "localhost"),
            ("::1", "[::1]:9464"),
            ("::ffff:127.0.0.1", "LocalHost:1"),
        ] {
            assert_eq!(checked(None, peer, &host(name)), Ok(()), "{peer} {name}");
        }
        for peer in [REMOTE, "::ffff:192.0.2.1", "0.0.0.0", "::", "fe80::1", "10.0.0.1"] {
            assert_eq!(checked(None, peer, &host("127.0.0.1")), Err(Refusal::Remote), "{peer}");
        }
        for name in ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "", "a@b@c"] {
            assert_eq!(checked(None, LOCAL, &host(name)), Err(Refusal::Name), "{name}");
        }
        assert_eq!(checked(None, LOCAL, &[]), Err(Refusal::Name));
    }

    #[test]
    fn with_a_token_whoever_shows_it() {
        let token = Token::of(b"0123456789abcdef").unwrap();
        let sent = |value: &str| checked(Some(&token), REMOTE, &[("authorization", value)]);
        let basic = |both: &str| format!("Basic {}", BASE64_STANDARD.encode(both));
        for value in [
            "Bearer 0123456789abcdef",
            "bearer  0123456789abcdef ",
            &basic("x:0123456789abcdef"),
            &basic(":0123456789abcdef"),
        ] {
            assert_eq!(sent(value), Ok(()), "{value}");
        }
        for value in [
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer",
            "Bearer ",
            "0123456789abcdef",
            "Digest 0123456789abcdef",
            "Basic !!!",
            &basic("0123456789abcdef"),
            &basic("0123456789abcdef:"),
        ] {
            assert_eq!(sent(value), Err(Refusal::Token), "{value}");
        }
        // On this machine too: others may be on it.
        assert_eq!(checked(Some(&token), LOCAL, &[("host", "localhost")]), Err(Refusal::Token));
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn a_token_that_can_be_guessed_or_not_be_sent_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |content: &[u8]| {
            std::fs::write(file.path(), content).unwrap();
            Token::read(file.path())
        };
        assert!(read(b" 0123456789abcdef\n").unwrap().is(b"0123456789abcdef"));
        for content in [
            &b""[..],
            b"\n",
            b"0123456789abcde\n",
            b"0123456789 abcdef",
            b"0123456789abcde\xff",
            &[b'x'; LONGEST + 1],
        ] {
            assert!(matches!(read(content), Err(TokenError::Unfit)), "{content:?}");
        }
        assert!(matches!(Token::read(Path::new("/nonexistent")), Err(TokenError::Io(_))));
    }
}
