//! How often something happened and how long it took, with how far that scatters.

use crate::units::Nanos;

/// How often, and how long.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// How many there were.
    pub count: u64,
    /// All their time.
    pub total: Nanos,
    /// The longest's, or a bound of it.
    pub longest: Nanos,
    /// The sum of the squares of their durations, or a bound of it, in square nanoseconds.
    squares: f64,
}

impl Sample {
    /// Of so many whose durations are not known one by one: the sum of their squares is no more than the longest times
    /// their sum.
    #[must_use]
    pub fn of(count: u64, total: Nanos, longest: Nanos) -> Self {
        Self { count, total, longest, squares: as_f64(longest.0.min(total.0)) * as_f64(total.0) }
    }

    /// Of one.
    #[must_use]
    pub fn one(duration: Nanos) -> Self {
        Self::of(1, duration, duration)
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.total = self.total.plus(other.total);
        self.longest = self.longest.max(other.longest);
        self.squares += other.squares;
    }

    /// How many there were each second of a span.
    #[must_use]
    pub fn per_second(&self, span: Nanos) -> f64 {
        as_f64(self.count) / seconds(span)
    }

    /// How many nanoseconds they took each second of a span.
    #[must_use]
    pub fn time_per_second(&self, span: Nanos) -> f64 {
        as_f64(self.total.0) / seconds(span)
    }

    /// How many nanoseconds each took.
    #[must_use]
    pub fn each(&self) -> f64 {
        as_f64(self.total.0) / as_f64(self.count.max(1))
    }

    /// The variance of [`Self::per_second`], when they come independently of each other. Of none, as of one.
    pub(super) fn variance_per_second(&self, span: Nanos) -> f64 {
        as_f64(self.count.max(1)) / seconds(span).powi(2)
    }

    /// The variance of [`Self::time_per_second`], when they come independently of each other.
    pub(super) fn variance_of_time(&self, span: Nanos) -> f64 {
        self.squares / seconds(span).powi(2)
    }

    /// The variance of [`Self::each`], at most.
    pub(super) fn variance_of_each(&self) -> f64 {
        let count = as_f64(self.count.max(2));
        (self.squares / count - self.each().powi(2)).max(0.0) / (count - 1.0)
    }
}

/// Of an empty span, a nanosecond.
fn seconds(span: Nanos) -> f64 {
    as_f64(span.0.max(1)) / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "for a rate, whose scatter is larger by far")]
pub(super) const fn as_f64(number: u64) -> f64 {
    number as f64
}
