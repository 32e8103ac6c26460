//! What is asked for: which profile of which process, over how long.

use std::time::Duration;

use thiserror::Error;

/// What is profiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Where the program is on a CPU, as Go's own `profile`.
    Profile,
    /// What its goroutines are blocked on in system calls and in the network poller.
    Block,
    /// How it started.
    Startup,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Profile, Self::Block, Self::Startup];

    /// The last part of its path.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Block => "block",
            Self::Startup => "startup",
        }
    }

    /// What it shows.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Profile => "where the program is on a CPU, 99 times a second; ?seconds=N, 30 if not given",
            Self::Block => {
                "what goroutines are blocked on in system calls and in the network poller; ?seconds=N, 10 if not given"
            }
            Self::Startup => "how it started, if the agent saw that: phases and package inits",
        }
    }

    /// Over how long it is collected unless somebody says; `net/http/pprof` has 30 s for `profile`.
    const fn usual(self) -> Duration {
        match self {
            Self::Profile => Duration::from_secs(30),
            Self::Block => Duration::from_secs(10),
            Self::Startup => Duration::ZERO,
        }
    }
}

/// No profile is collected over more seconds.
pub(super) const LONGEST: u64 = 60;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The processes that profiles can be had of.
    Processes,
    /// The profiles of a process.
    Kinds(u32),
    /// A profile.
    Profile {
        /// Of that process.
        pid: u32,
        /// Of that.
        kind: Kind,
        /// Over so long.
        time: Duration,
    },
}

/// Why nothing is answered.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum RequestError {
    /// There is no such path.
    #[error("there are /pids, /pids/PID/debug/pprof/, and profile, block and startup below that")]
    Path,
    /// Nonsense for a time.
    #[error("seconds is a whole number from 1 to {LONGEST}")]
    Seconds,
}

impl Request {
    /// Whether a path may be one of these.
    pub(super) fn is_for(path: &str) -> bool {
        path == "/pids" || path.starts_with("/pids/")
    }

    /// Reads a path and its query.
    pub(super) fn parse(path: &str, query: Option<&str>) -> Result<Self, RequestError> {
        let rest = path.strip_prefix("/pids").ok_or(RequestError::Path)?;
        if rest.is_empty() || rest == "/" {
            return Ok(Self::Processes);
        }
        let mut parts = rest.strip_prefix('/').ok_or(RequestError::Path)?.splitn(2, '/');
        let pid = parts.next().filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()));
        let pid = pid.and_then(|pid| pid.parse().ok()).ok_or(RequestError::Path)?;
        match parts.next() {
            None | Some("" | "debug/pprof" | "debug/pprof/") => Ok(Self::Kinds(pid)),
            Some(below) => {
                let name = below.strip_prefix("debug/pprof/").ok_or(RequestError::Path)?;
                let kind =
                    Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or(RequestError::Path)?;
                Ok(Self::Profile { pid, kind, time: time(kind, query)? })
            }
        }
    }
}

/// Over how long; other parts of a query are left to whoever understands them.
fn time(kind: Kind, query: Option<&str>) -> Result<Duration, RequestError> {
    let mut asked = query.unwrap_or_default().split('&').filter_map(|part| part.strip_prefix("seconds="));
    let Some(seconds) = asked.next() else { return Ok(kind.usual()) };
    match seconds.parse() {
        Ok(seconds @ 1..=LONGEST) if asked.next().is_none() => Ok(Duration::from_secs(seconds)),
        _ => Err(RequestError::Seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_nothing_else_is() {
        let parse = |path: &str| Request::parse(path, None);
        assert_eq!(parse("/pids"), Ok(Request::Processes));
        assert_eq!(parse("/pids/"), Ok(Request::Processes));
        for path in ["/pids/7", "/pids/7/", "/pids/7/debug/pprof", "/pids/7/debug/pprof/"] {
            assert_eq!(parse(path), Ok(Request::Kinds(7)), "{path}");
        }
        for kind in Kind::ALL {
            let path = format!("/pids/7/debug/pprof/{}", kind.name());
            assert_eq!(parse(&path), Ok(Request::Profile { pid: 7, kind, time: kind.usual() }));
        }
        for path in [
            "/pidsx",
            "/pids//",
            "/pids/x",
            "/pids/-1",
            "/pids/+1",
            "/pids/99999999999",
            "/pids/7/profile",
            "/pids/7/debug/pprof/heap",
            "/pids/7/debug/pprof/profile/",
            "/pids/7/../8/debug/pprof/profile",
            "/pids/self/debug/pprof/profile",
        ] {
            assert_eq!(parse(path), Err(RequestError::Path), "{path}");
        }
    }

    #[test]
    fn the_time_is_bounded() {
        let parse = |query| Request::parse("/pids/7/debug/pprof/profile", Some(query));
        let of = |seconds| {
            Ok(Request::Profile { pid: 7, kind: Kind::Profile, time: Duration::from_secs(seconds) })
        };
        assert_eq!(parse("seconds=1"), of(1));
        assert_eq!(parse("debug=1&seconds=60"), of(60));
        assert_eq!(parse(""), of(30));
        for query in [
            "seconds=0",
            "seconds=61",
            "seconds=-1",
            "seconds=",
            "seconds=1.5",
            "seconds=1&seconds=2",
            "seconds=1e1",
        ] {
            assert_eq!(parse(query), Err(RequestError::Seconds), "{query}");
        }
    }
}
