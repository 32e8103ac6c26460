//! How often something happened, and how long it took.

use crate::units::Nanos;

/// Sums of times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeSums {
    /// How many.
    pub count: u64,
    /// All their time.
    pub total: Nanos,
    /// The longest's.
    pub longest: Nanos,
}

impl TimeSums {
    /// Of one.
    pub(super) const fn of(time: Nanos) -> Self {
        Self { count: 1, total: time, longest: time }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.total = self.total.plus(other.total);
        self.longest = self.longest.max(other.longest);
    }
}
