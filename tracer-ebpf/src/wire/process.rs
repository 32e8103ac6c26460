//! The life of the process: exec and the end of its threads.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, account::Account};

/// The length of a task's name in the kernel, with its terminating zero (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 16;

/// The process became another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exec {
    /// [`super::Probe::Exec`]
    pub header: Header,
    /// The task's new name: the program's file name, cut at 15 bytes.
    pub comm: [u8; COMM_LEN],
    /// Where the main thread's time went since it called execve.
    pub account: Account,
}

/// A thread of the process ended; the process is over when its last one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// [`super::Probe::Exit`]
    pub header: Header,
}
