//! What became of the starts that were to be sent.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a start was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Dropped {
    /// Too many waited.
    NoRoom,
    /// The receiver did not take it in a minute, or not before the agent's end.
    Unreachable,
    /// The receiver does not want it.
    Refused,
}

impl Dropped {
    /// All of them.
    pub(in crate::node) const ALL: [Self; 3] = [Self::NoRoom, Self::Unreachable, Self::Refused];

    /// The label's value.
    pub(in crate::node) const fn name(self) -> &'static str {
        match self {
            Self::NoRoom => "no_room",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }
}

/// Counted by whoever puts starts in and whoever sends them.
#[derive(Debug, Default)]
pub(in crate::node) struct Counts {
    queued: AtomicU64,
    sent: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
    rejected: AtomicU64,
}

impl Counts {
    /// One more is to be sent.
    pub(super) fn queue(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// So many were taken by the receiver.
    pub(super) fn deliver(&self, starts: usize) {
        self.sent.fetch_add(starts as u64, Ordering::Relaxed);
    }

    /// So many will not be sent.
    pub(super) fn give_up(&self, starts: usize, why: Dropped) {
        self.dropped[why as usize].fetch_add(starts as u64, Ordering::Relaxed);
    }

    /// So many spans of what the receiver took it did not want.
    pub(super) fn reject(&self, spans: u64) {
        self.rejected.fetch_add(spans, Ordering::Relaxed);
    }

    /// How many starts the receiver took.
    pub(in crate::node) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How many starts were not sent for that reason.
    pub(in crate::node) fn dropped(&self, why: Dropped) -> u64 {
        self.dropped[why as usize].load(Ordering::Relaxed)
    }

    /// How many spans were rejected.
    pub(in crate::node) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// How many starts are on their way.
    pub(in crate::node) fn waiting(&self) -> u64 {
        let gone = Dropped::ALL.iter().map(|why| self.dropped(*why)).sum::<u64>() + self.sent();
        self.queued.load(Ordering::Relaxed).saturating_sub(gone)
    }
}
