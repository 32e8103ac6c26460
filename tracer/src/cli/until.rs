//! When the tracing of a start ends.

use std::str::FromStr;
use std::time::Duration;

/// When to end the tracing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// When `main.main` begins.
    Main,
    /// When the program is ready.
    Ready,
    /// When the program ends.
    Exit,
    /// After that time.
    Elapsed(Duration),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "main" => Ok(Self::Main),
            "ready" => Ok(Self::Ready),
            "exit" => Ok(Self::Exit),
            _ => humantime::parse_duration(text)
                .map(Self::Elapsed)
                .map_err(|_| "main, ready, exit, or a time such as 500ms or 30s is needed".to_owned()),
        }
    }
}
