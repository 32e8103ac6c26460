//! When a program is ready.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use regex::bytes::Regex;
use thiserror::Error;
use tracer_ebpf::wire::syscall::number;

use crate::event::{Event, EventKind};

/// What makes a program ready.
#[derive(Clone, Debug)]
pub enum ReadyWhen {
    /// A socket listens.
    Listen,
    /// A connection was accepted.
    Accept,
    /// A line that matches is written to standard output or standard error.
    Log(Regex),
    /// The file is there.
    File(PathBuf),
    /// The URL answers, with a status below 400.
    Http(String),
}

/// What is no such condition.
#[derive(Debug, Error)]
pub enum ReadyError {
    /// None of those that there are.
    #[error("listen, accept, log:REGEX, file:PATH or http://URL is needed")]
    Unknown,
    /// The regular expression.
    #[error("{0}")]
    Regex(#[from] regex::Error),
}

impl FromStr for ReadyWhen {
    type Err = ReadyError;

    fn from_str(text: &str) -> Result<Self, ReadyError> {
        match text.split_once(':') {
            None if text == "listen" => Ok(Self::Listen),
            None if text == "accept" => Ok(Self::Accept),
            Some(("log", regex)) => Ok(Self::Log(Regex::new(regex)?)),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            Some(("http", rest)) if rest.starts_with("//") => Ok(Self::Http(text.to_owned())),
            // As the option's name suggests: http:http://host/path.
            Some(("http", url)) if url.starts_with("http://") => Ok(Self::Http(url.to_owned())),
            _ => Err(ReadyError::Unknown),
        }
    }
}

/// As the option takes it.
impl fmt::Display for ReadyWhen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen => f.write_str("listen"),
            Self::Accept => f.write_str("accept"),
            Self::Log(regex) => write!(f, "log:{regex}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Http(url) => f.write_str(url),
        }
    }
}

impl ReadyWhen {
    /// Whether this event makes the program ready.
    #[must_use]
    pub fn is_met_by(&self, event: &Event) -> bool {
        let EventKind::Call(call) = &event.kind else { return false };
        match self {
            Self::Listen => call.syscall == number::LISTEN && call.result == 0,
            Self::Accept => matches!(call.syscall, number::ACCEPT | number::ACCEPT4) && call.result >= 0,
            Self::Log(regex) => {
                call.syscall == number::WRITE && call.object.as_ref().is_some_and(|text| regex.is_match(text))
            }
            // Nothing in the program tells.
            Self::File(_) | Self::Http(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        for text in ["listen", "accept", "log:^ready", "file:/run/x", "http://127.0.0.1:1/", "http:http://a/"]
        {
            assert!(text.parse::<ReadyWhen>().is_ok(), "{text}");
        }
        for text in ["", "listen:", "log:(", "file:", "https://x", "main"] {
            assert!(text.parse::<ReadyWhen>().is_err(), "{text}");
        }
    }
}
