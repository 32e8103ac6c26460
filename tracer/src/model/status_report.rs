//! Everything that a look at a running program tells, ready for any format.

use super::report::Subject;
use super::status::StartupStatus;
use crate::units::Nanos;

/// Everything that a look at a running program tells.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// Whose report it is; its wall clock is that of `began`.
    pub subject: Subject,
    /// When the process began, on the boot clock, in steps of 10 ms. That is when it was forked: it may have
    /// become this program later.
    pub began: Nanos,
    /// When it was looked at last, on the boot clock.
    pub at: Nanos,
    /// What the kernel has counted of it since it began.
    pub usage: Usage,
    /// How far its start is.
    pub status: StartupStatus,
}

/// What the kernel counts of a process, over all its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Time on a processor in the program, in steps of 10 ms.
    pub user: Nanos,
    /// Time on a processor in the kernel, in steps of 10 ms.
    pub system: Nanos,
    /// Page faults that needed no I/O.
    pub minor_faults: u64,
    /// Page faults that did.
    pub major_faults: u64,
}

impl StatusReport {
    /// How long the process has been there: the longest that anything in it can have lasted.
    #[must_use]
    pub fn age(&self) -> Nanos {
        self.at.since(self.began)
    }
}
