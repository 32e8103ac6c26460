//! The exit codes that scripts may rely on.

use std::process::ExitCode;

use thiserror::Error;

use crate::doctor::Unfit;
use crate::export::printable;
use crate::probe::attach::AttachError;
use crate::probe::load::LoadError;
use crate::target::command::CommandError;
use crate::target::gobin::BinaryError;
use crate::target::process::ProcessError;
use crate::target::snapshot::ObserveError;

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Ok,
    /// It failed for a reason that no other code names.
    Failure,
    /// The environment is unfit: kernel, privileges, a build without the BPF object.
    Environment,
    /// The target was not found, cannot be read, is not Go, or is a Go that gotrace does not know.
    Target,
    /// The data is incomplete beyond the threshold.
    Incomplete,
    /// A budget was exceeded.
    OverBudget,
    /// The traced command's own exit code.
    Child(u8),
}

/// The target is a Go program, and still cannot be traced.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct TargetRefused(pub(super) String);

/// gotrace cannot do its work in this environment.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct EnvironmentRefused(pub(super) String);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failure => 1,
            // 2 is clap's, for a wrong command line.
            Exit::Environment => 3,
            Exit::Target => 4,
            Exit::Incomplete => 5,
            Exit::OverBudget => 6,
            Exit::Child(code) => code,
        })
    }
}

/// Prints the error of a failed verb, with its causes, and finds its exit code.
pub(super) fn code_of(result: anyhow::Result<Exit>) -> ExitCode {
    // What clap could not know of the command line, in its own words.
    if let Err(error) = &result
        && let Some(usage) = error.downcast_ref::<clap::Error>()
    {
        let _ = usage.print();
        return ExitCode::from(2);
    }
    let exit = result.unwrap_or_else(|error| {
        let process = match error.downcast_ref() {
            Some(ObserveError::Process(process)) => Some(process),
            _ => error.downcast_ref(),
        };
        let text = with_causes(&error);
        // Processes are called as they please.
        super::say(&if process.is_some() { printable(&text) } else { text });
        if let Some(ProcessError::Denied { .. }) = process {
            Exit::Environment
        } else if process.is_some()
            || error.is::<ObserveError>()
            || error.is::<BinaryError>()
            || error.is::<CommandError>()
            || error.is::<TargetRefused>()
        {
            Exit::Target
        } else if error.is::<Unfit>()
            || error.is::<LoadError>()
            || error.is::<AttachError>()
            || error.is::<EnvironmentRefused>()
        {
            Exit::Environment
        } else {
            Exit::Failure
        }
    });
    exit.into()
}

/// The error and its causes, each once: some errors quote their cause themselves.
fn with_causes(error: &anyhow::Error) -> String {
    if let Some(binary) = error.downcast_ref::<BinaryError>() {
        // It tells its cause in words of its own.
        return binary.to_string();
    }
    error.chain().fold(String::new(), |mut text, cause| {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let source = std::io::Error::from_raw_os_error(libc::EACCES);
        let binary = anyhow::Error::new(BinaryError::Io { path: "app".into(), source });
        assert!(!with_causes(&binary).contains("os error"), "{}", with_causes(&binary));

        let inner = std::io::Error::other("no room");
        let outer = anyhow::Error::new(inner).context("cannot write: no room").context("cannot end");
        assert_eq!(with_causes(&outer), "cannot end: cannot write: no room");
    }
}
