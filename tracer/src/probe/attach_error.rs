//! Why a probe could not be put in place.

use std::io;

use aya::programs::ProgramError;
use thiserror::Error;

use super::load::LoadError;
use crate::target::capabilities::{Capability, Rights, listed};

/// A probe could not be put in place.
#[derive(Debug, Error)]
pub enum AttachError {
    /// A program did not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A tracepoint.
    #[error("cannot attach to the kernel's tracepoint {tracepoint}: {source}")]
    Tracepoint {
        /// Its name.
        tracepoint: &'static str,
        /// aya's account of it.
        #[source]
        source: Box<ProgramError>,
    },
    /// The timer that samples.
    #[error(
        "cannot sample where the program runs: {reason}; where kernel.perf_event_paranoid is above 2, CAP_SYS_ADMIN is \
         needed for that; --frequency 0 goes without"
    )]
    Sampling {
        /// What the kernel said.
        reason: String,
    },
    /// The file is not what the sites were chosen in.
    #[error(
        "{function} is not what it was when its site was chosen: the binary was changed in place; try again"
    )]
    Changed {
        /// The function.
        function: String,
    },
    /// A site's bytes cannot be read.
    #[error("cannot read the instruction to probe in {function}: {source}")]
    Unreadable {
        /// The function.
        function: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// All sites at once.
    #[error("cannot attach to {sites} sites of the binary: {source}{}", hint(source))]
    Sites {
        /// How many there were.
        sites: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// One site, on a kernel that takes one at a time.
    #[error("cannot attach to {function}: {source}{}", privilege(source))]
    Site {
        /// The function.
        function: String,
        /// aya's account of it.
        #[source]
        source: Box<ProgramError>,
    },
}

/// Such a kernel asks for more than the other programs take (kernel/events/core.c, `perf_uprobe_event_init`).
fn privilege(error: &ProgramError) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) == Some(libc::EACCES) {
            let missing = Rights::own().missing(&[Capability::SysAdmin]);
            return if missing.is_empty() {
                String::new()
            } else {
                format!("; {} missing", listed(&missing))
            };
        }
        cause = error.source();
    }
    String::new()
}

/// ENOTSUPP (524) never leaves the kernel but for this: the instruction is a breakpoint already
/// (kernel/events/uprobes.c, `prepare_uprobe`).
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(524) => "; another tool's breakpoint is on one of them",
        _ => "",
    }
}
