//! Why a process cannot be looked at, for people.

use std::path::PathBuf;

use thiserror::Error;

use super::capabilities::{Capability, Rights, listed};

/// A process that cannot be looked at.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// There is none of that number.
    #[error("there is no process {pid}")]
    Gone {
        /// Its number.
        pid: u32,
    },
    /// Nothing that runs is called so.
    #[error(
        "no process is named {name}; it takes a process id, or the name or the path of a program that runs"
    )]
    NoneNamed {
        /// As it was given.
        name: String,
    },
    /// More than one is called so.
    #[error("{} processes are named {name}; attach to one of them by its id: {}", pids.len(), list(pids))]
    SeveralNamed {
        /// As it was given.
        name: String,
        /// Their numbers.
        pids: Vec<u32>,
    },
    /// Nothing that runs was started from there.
    #[error("no process runs {}", path.display())]
    NoneRuns {
        /// As it was given.
        path: PathBuf,
    },
    /// More than one runs it.
    #[error("{} processes run {}; attach to one of them by its id: {}", pids.len(), path.display(), list(pids))]
    SeveralRun {
        /// As it was given.
        path: PathBuf,
        /// Their numbers.
        pids: Vec<u32>,
    },
    /// The number is a thread's.
    #[error("{tid} is a thread of process {pid}, and no process; attach to {pid}")]
    Thread {
        /// The number.
        tid: u32,
        /// The process it belongs to.
        pid: u32,
    },
    /// A thread of the kernel.
    #[error("process {pid} is a thread of the kernel ({name}), and no program")]
    Kernel {
        /// Its number.
        pid: u32,
        /// What the kernel calls it.
        name: String,
    },
    /// It has ended, and its parent has not asked how.
    #[error(
        "process {pid} ({name}) has ended; only its exit code is left, for its parent to collect (a zombie)"
    )]
    Zombie {
        /// Its number.
        pid: u32,
        /// What it was called.
        name: String,
    },
    /// It ended while it was attached to.
    #[error("process {pid} ended before gotrace was attached to it")]
    Ended {
        /// Its number.
        pid: u32,
    },
    /// It became another program while it was looked at.
    #[error("process {pid} has become another program meanwhile (execve)")]
    Replaced {
        /// Its number.
        pid: u32,
    },
    /// The kernel does not let us look.
    #[error("process {pid} may not be looked into: {}", denial(missing))]
    Denied {
        /// Its number.
        pid: u32,
        /// The capabilities that it would take.
        missing: Vec<Capability>,
    },
    /// The kernel's account of it cannot be read.
    #[error("the kernel's account of process {pid} cannot be read: {what}")]
    Unreadable {
        /// Its number.
        pid: u32,
        /// What failed.
        what: String,
    },
    /// The program in memory is not the file that the kernel names as its executable.
    #[error("the memory of process {pid} does not hold {}: {what}", exe.display())]
    OtherProgram {
        /// Its number.
        pid: u32,
        /// Its executable.
        exe: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// Its executable is not Go, a library in it is.
    #[error(
        "process {pid} is not a Go program ({}), but Go code is loaded as a library: {} ({version}); gotrace does not look into libraries",
        exe.display(), library.display()
    )]
    Library {
        /// Its number.
        pid: u32,
        /// Its executable.
        exe: PathBuf,
        /// The library.
        library: PathBuf,
        /// The Go version that built it.
        version: String,
    },
}

fn denial(missing: &[Capability]) -> String {
    if missing.is_empty() {
        return "gotrace has the capabilities for it, so kernel.yama.ptrace_scope is 3, or a security module (AppArmor, \
                SELinux) does not let it"
            .to_owned();
    }
    let remedy = Rights::own().remedy(missing, "gotrace …");
    format!(
        "{} missing, for it is another user's or may do more than gotrace; fix: {remedy}",
        listed(missing)
    )
}

fn list(pids: &[u32]) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
