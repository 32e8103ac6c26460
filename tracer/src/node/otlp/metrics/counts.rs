//! What became of the metrics that were to be sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Why they were not sent. The next that are, are of all that there was until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Failed {
    /// The receiver did not answer, or put them off.
    Unreachable,
    /// The receiver does not want them.
    Refused,
    /// They are not what they should be, which is gotrace's own fault.
    Unreadable,
}

impl Failed {
    /// All of them.
    pub(in crate::node) const ALL: [Self; 3] = [Self::Unreachable, Self::Refused, Self::Unreadable];

    /// The label's value.
    pub(in crate::node) const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Counted by whoever sends them.
#[derive(Debug, Default)]
pub(in crate::node) struct Counts {
    sent: AtomicU64,
    failed: [AtomicU64; Failed::ALL.len()],
    rejected: AtomicU64,
    complete: AtomicBool,
}

impl Counts {
    /// The receiver took them, but for so many data points.
    pub(super) fn deliver(&self, rejected: u64) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
    }

    /// They were not sent.
    pub(super) fn fail(&self, why: Failed) {
        self.failed[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Those of the agent's end were sent.
    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    /// How often the receiver took them.
    pub(in crate::node) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How often they were not sent for that reason.
    pub(in crate::node) fn failed(&self, why: Failed) -> u64 {
        self.failed[why as usize].load(Ordering::Relaxed)
    }

    /// How many data points the receiver did not want.
    pub(in crate::node) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Whether those of the agent's end were sent.
    pub(in crate::node::otlp) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Relaxed)
    }
}
