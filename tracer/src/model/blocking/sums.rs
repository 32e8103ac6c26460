//! Sums of calls and waits: of all time since gotrace came, of an interval, and of several together.

use std::collections::HashMap;

use crate::event::blocking::{BUCKETS, CallTotal, Key, bucket_end};
use crate::event::parking::ParkTotal;
use crate::stream::Tables;
use crate::units::{Nanos, saturating_sum};

/// How often and how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many calls returned, or waits ended.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many more returned that had begun before gotrace came; their time is not known.
    pub joined: u64,
    /// All their time.
    pub total: Nanos,
    /// The longest's.
    pub longest: Nanos,
    /// Whether `longest` is an upper bound: within an interval only the histogram tells, unless it is the longest
    /// of all.
    pub longest_is_bound: bool,
    histogram: Vec<u64>,
}

/// What all of the kernel side's sums have.
#[derive(Clone, Copy)]
pub(in crate::model) struct Counted<'a> {
    count: u64,
    errors: u64,
    joined: u64,
    total: Nanos,
    longest: Nanos,
    histogram: &'a [u32],
}

impl<'a> From<&'a CallTotal> for Counted<'a> {
    fn from(of: &'a CallTotal) -> Self {
        let CallTotal { key: _, count, errors, joined, total, longest, histogram } = of;
        Self { count: *count, errors: *errors, joined: *joined, total: *total, longest: *longest, histogram }
    }
}

impl<'a> From<&'a ParkTotal> for Counted<'a> {
    fn from(of: &'a ParkTotal) -> Self {
        let ParkTotal { key: _, count, joined, total, runnable: _, longest, histogram } = of;
        Self { count: *count, errors: 0, joined: *joined, total: *total, longest: *longest, histogram }
    }
}

impl Sums {
    /// As the kernel side has them.
    #[must_use]
    pub fn of(total: &CallTotal) -> Self {
        Self::all(total.into())
    }

    /// As the kernel side has them.
    pub(in crate::model) fn all(total: Counted<'_>) -> Self {
        Self {
            count: total.count,
            errors: total.errors,
            joined: total.joined,
            total: total.total,
            longest: total.longest,
            longest_is_bound: false,
            histogram: used(total.histogram).iter().copied().map(u64::from).collect(),
        }
    }

    /// What came since `before`, of the same key.
    pub(in crate::model) fn since(now: Counted<'_>, before: Counted<'_>) -> Self {
        let buckets = now.histogram.iter().zip(before.histogram).take(BUCKETS);
        // The kernel's 32 bits may have gone round.
        let histogram: Vec<u64> = buckets.map(|(now, before)| now.wrapping_sub(*before).into()).collect();
        let highest = histogram.iter().rposition(|count| *count != 0);
        let grew = now.longest > before.longest;
        let bound = match highest {
            Some(index) if index + 1 < BUCKETS => Nanos(bucket_end(index)).min(now.longest),
            Some(_) => now.longest,
            None => Nanos(0),
        };
        Self {
            count: now.count.saturating_sub(before.count),
            errors: now.errors.saturating_sub(before.errors),
            joined: now.joined.saturating_sub(before.joined),
            total: now.total.since(before.total),
            longest: if grew { now.longest } else { bound },
            longest_is_bound: !grew && highest.is_some(),
            histogram,
        }
    }

    /// Adds others to these.
    pub fn add(&mut self, other: &Self) {
        // A capture may be from anywhere: sums end at the largest there is.
        self.count = self.count.saturating_add(other.count);
        self.errors = self.errors.saturating_add(other.errors);
        self.joined = self.joined.saturating_add(other.joined);
        self.total = self.total.plus(other.total);
        if other.longest > self.longest {
            (self.longest, self.longest_is_bound) = (other.longest, other.longest_is_bound);
        } else if other.longest == self.longest {
            self.longest_is_bound &= other.longest_is_bound;
        }
        if self.histogram.len() < other.histogram.len() {
            self.histogram.resize(other.histogram.len(), 0);
        }
        for (sum, more) in self.histogram.iter_mut().zip(&other.histogram) {
            *sum = sum.saturating_add(*more);
        }
    }

    /// A duration that so many thousandths are not longer than: the end of a bucket of the histogram, so up to a
    /// quarter more than it is; never more than the longest. None when there are none.
    #[must_use]
    pub fn quantile(&self, thousandths: u64) -> Option<Nanos> {
        let all: u128 = self.histogram.iter().copied().map(u128::from).sum();
        let rank = (all * u128::from(thousandths)).div_ceil(1000).max(1);
        let mut seen = 0_u128;
        for (index, count) in self.histogram.iter().enumerate() {
            seen += u128::from(*count);
            if *count != 0 && seen >= rank {
                let last = index + 1 >= BUCKETS;
                return Some(if last { self.longest } else { Nanos(bucket_end(index)).min(self.longest) });
            }
        }
        None
    }

    /// The buckets that hold something: the first duration that is too long for one, but for the last there is, and how many
    /// it holds.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Nanos>, u64)> {
        let end = |index| (index + 1 < BUCKETS).then(|| Nanos(bucket_end(index)));
        let all = self.histogram.iter().enumerate().map(move |(index, count)| (end(index), *count));
        all.filter(|(_, count)| *count > 0)
    }

    /// How many were certainly at least that long: those of the buckets that begin there or later.
    #[must_use]
    pub fn at_least(&self, duration: Nanos) -> u64 {
        let begins = |index: usize| index.checked_sub(1).map_or(0, bucket_end);
        let long = self.histogram.iter().enumerate().filter(|(index, _)| begins(*index) >= duration.0);
        saturating_sum(long.map(|(_, count)| *count))
    }
}

/// The buckets up to the last that holds something.
fn used(histogram: &[u32]) -> &[u32] {
    let histogram = &histogram[..histogram.len().min(BUCKETS)];
    let end = histogram.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1);
    &histogram[..end]
}

/// The sums of one key in a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) key: Key,
    pub(super) sums: Sums,
}

/// What came since `before`, or since gotrace came; keys of which nothing came are left out.
pub(super) fn tallies(now: &Tables, before: Option<&Tables>) -> Vec<Tally> {
    let earlier: HashMap<Key, &CallTotal> =
        before.iter().flat_map(|tables| &tables.calls).map(|total| (total.key, total)).collect();
    let tally = |total: &CallTotal| Tally {
        key: total.key,
        sums: match earlier.get(&total.key) {
            Some(before) => Sums::since(total.into(), (*before).into()),
            None => Sums::of(total),
        },
    };
    let some = |tally: &Tally| tally.sums.count != 0 || tally.sums.joined != 0;
    now.calls.iter().map(tally).filter(some).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracer_ebpf::wire::blocking::bucket;

    use super::*;
    use crate::event::blocking::{Caller, Kind, StackTaken};

    fn total(durations: &[u64]) -> CallTotal {
        let mut histogram = vec![0; BUCKETS];
        for duration in durations {
            histogram[bucket(*duration)] += 1;
        }
        CallTotal {
            key: Key {
                kind: Kind::Call,
                caller: Caller::Goroutine,
                syscall: 0,
                file_type: None,
                gopc: None,
                stack: StackTaken::TooShort,
            },
            count: durations.len() as u64,
            errors: 0,
            joined: 0,
            total: Nanos(durations.iter().sum()),
            longest: Nanos(durations.iter().copied().max().unwrap_or(0)),
            histogram,
        }
    }

    #[test]
    fn an_interval_has_what_came_in_it() {
        let before = total(&[5_000_000, 100]);
        let now = total(&[5_000_000, 100, 3_000_000, 2_000]);
        let tables = |total| Tables { calls: vec![total], ..Tables::default() };
        let found = tallies(&tables(now.clone()), Some(&tables(before)));
        let sums = &found[0].sums;
        assert_eq!((sums.count, sums.total), (2, Nanos(3_002_000)));
        // 3 ms are in the bucket that ends at 3.146 ms, and how long the longest was the kernel has not kept.
        assert_eq!((sums.longest, sums.longest_is_bound), (Nanos(3_145_728), true));
        assert_eq!(tallies(&tables(now.clone()), Some(&tables(now.clone()))), []);
        let later = total(&[5_000_000, 100, 3_000_000, 2_000, 9_000_000]);
        let sums = Sums::since((&later).into(), (&now).into());
        assert_eq!((sums.longest, sums.longest_is_bound), (Nanos(9_000_000), false));
    }

    #[test]
    fn a_bound_gives_way_to_what_is_exact() {
        let mut sums = Sums { longest: Nanos(7), longest_is_bound: true, ..Sums::default() };
        sums.add(&Sums { longest: Nanos(7), ..Sums::default() });
        assert!(!sums.longest_is_bound);
        sums.add(&Sums { longest: Nanos(9), longest_is_bound: true, ..Sums::default() });
        assert_eq!((sums.longest, sums.longest_is_bound), (Nanos(9), true));
    }

    #[test]
    fn the_long_ones_are_counted_from_below() {
        let sums = Sums::of(&total(&[10_000, 20_000, 20_480, 30_000, 1 << 45]));
        assert_eq!(sums.at_least(Nanos(20_000)), 3);
        assert_eq!(sums.at_least(Nanos(0)), 5);
        assert_eq!(sums.quantile(1000), Some(Nanos(1 << 45)));
        assert_eq!(Sums::default().quantile(500), None);
    }

    proptest! {
        #[test]
        fn a_quantile_bounds_the_true_one_by_a_quarter(
            mut durations in prop::collection::vec(1_u64..1 << 38, 1..60),
            thousandths in 1_u64..=1000,
        ) {
            let sums = Sums::of(&total(&durations));
            durations.sort_unstable();
            let rank = (durations.len() as u64 * thousandths).div_ceil(1000);
            let exact = durations[usize::try_from(rank).unwrap() - 1];
            let told = sums.quantile(thousandths).unwrap().0;
            prop_assert!(told >= exact, "{told} of {exact}");
            prop_assert!(told <= (exact + exact / 4 + 1).max(320), "{told} of {exact}");
        }
    }
}
