//! Where an OTLP receiver is.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use thiserror::Error;

/// The base of an OTLP receiver's URLs, `http://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    base: String,
    /// The TCP port.
    pub port: u16,
}

/// Why it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// It is not an URL with a host.
    #[error("an URL is needed, such as http://127.0.0.1:4318")]
    Form,
    /// It is to be encrypted.
    #[error("there is no TLS: give a collector on this machine or network, which can send it on by https")]
    Tls,
    /// It has a user or a password, which process lists would show.
    #[error("no user and password: headers come from OTEL_EXPORTER_OTLP_HEADERS")]
    User,
    /// Paths are put behind it.
    #[error("nothing may follow its path: /v1/traces is put there")]
    Query,
}

impl Endpoint {
    /// What a signal is sent to, such as `v1/traces`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let url: Uri = text.parse().map_err(|_| EndpointError::Form)?;
        match url.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(EndpointError::Tls),
            _ => return Err(EndpointError::Form),
        }
        let authority = url.authority().ok_or(EndpointError::Form)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::User);
        }
        if url.query().is_some() || text.contains('#') {
            return Err(EndpointError::Query);
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // A port that is no number is none to `http`.
            None if authority.as_str() != authority.host() => return Err(EndpointError::Form),
            None => 80,
        };
        if authority.host().is_empty() {
            return Err(EndpointError::Form);
        }
        Ok(Self { base: text.trim_end_matches('/').to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_paths_below_it() {
        let url = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.url("v1/traces"));
        assert_eq!(url("http://collector:4318").unwrap(), "http://collector:4318/v1/traces");
        assert_eq!(url("http://collector:4318/").unwrap(), "http://collector:4318/v1/traces");
        assert_eq!(url("http://[::1]/otlp/").unwrap(), "http://[::1]/otlp/v1/traces");
        let port = |text: &str| text.parse::<Endpoint>().unwrap().port;
        assert_eq!((port("http://a"), port("http://[::1]:4318")), (80, 4318));
    }

    #[test]
    fn what_cannot_be_sent_to_is_refused_with_the_reason() {
        let why = |text: &str| text.parse::<Endpoint>().unwrap_err();
        for form in ["", "collector:4318", "grpc://a:4317", "http://", "/v1", "http://a:99999", "http://a b"]
        {
            assert_eq!(why(form), EndpointError::Form, "{form}");
        }
        assert_eq!(why("https://a"), EndpointError::Tls);
        assert_eq!(why("http://user:secret@a"), EndpointError::User);
        assert_eq!(why("http://a/?token=secret"), EndpointError::Query);
    }
}
