//! Two programs' startups side by side: what became slower or faster beyond the noise, and which inits came,
//! went, or run in another order.
//!
//! The rule, for the medians of one figure on both sides. With a and b runs, n is the smaller of the two:
//!
//! | n | the difference counts when it is more than 50 µs and more than |
//! |---|---|
//! | 10 or more | one and a half times the larger quartile range |
//! | 4 to 9 | the larger range, from the least to the greatest |
//! | 1 to 3 | the larger range, 1 ms, and a quarter of the larger median: few runs tell nothing of the noise |
//!
//! Of pairs of series that do not differ, drawn from normal, log-normal, bimodal and outlier-ridden
//! distributions, about 2 % at most pass for different with four runs a side, and 1 % from five runs on.
//! What differs between two series as such (another load on the machine, a colder cache) no rule can tell from
//! a change of the program; interleaved runs can.

mod running;
mod sample;
mod spans;

use std::cmp::Reverse;

pub use self::running::{
    Blocked, BlockedChange, Compared, DEVIATIONS, EACH, GcChange, GcFigure, PART, RunningComparison,
};
pub use self::sample::Sample;
pub(super) use self::spans::Open;
pub use self::spans::{Collections, Place, Spans};
use super::series::{Figure, PARTS, Samples, Series};
use super::spread::Spread;
use crate::units::Nanos;

/// No difference below this counts: timer ticks, interrupts and cache misses alone make as much.
pub const FLOOR: Nanos = Nanos(50_000);

/// From so many runs a side on, the quartiles say more than the extremes.
pub const QUARTILE_RUNS: usize = 10;

/// With fewer runs a side, the spread is not known.
pub const RANGE_RUNS: usize = 4;

/// What counts at least where the spread is not known, besides a quarter of the larger median.
pub const UNKNOWN_SPREAD_FLOOR: Nanos = Nanos(1_000_000);

/// Two programs' startups side by side.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Every figure of either side; those that changed most first.
    pub changes: Vec<Change>,
    /// The inits of both sides that run before or after others than before. Those that stay are as many as can.
    pub moved: Vec<Moved>,
}

/// One figure on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub figure: Figure,
    /// The first side's measurements.
    pub a: Measured,
    /// The second side's measurements.
    pub b: Measured,
    /// What to think of them.
    pub verdict: Verdict,
    /// What the time went to, the largest difference first; only parts that were measured in every run of both.
    pub parts: Vec<PartChange>,
}

/// One side of a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The measurements; none when there are none.
    pub spread: Option<Spread>,
    /// In how many runs it was begun and not over.
    pub unfinished: usize,
}

/// What to think of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was measured on both sides.
    Both {
        /// The second median less the first, in nanoseconds.
        difference: i64,
        /// Differences up to this one are noise.
        noise: Nanos,
        /// How the noise was judged.
        basis: Basis,
    },
    /// Only the second side has it.
    Added,
    /// Only the first side has it.
    Removed,
    /// A side began it and never came to its end.
    Unfinished,
}

/// How the noise of a figure was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// By the quartile ranges.
    Quartiles,
    /// By the ranges.
    Range,
    /// There were too few runs: by a threshold.
    Threshold,
}

impl Basis {
    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quartiles => "quartiles",
            Self::Range => "range",
            Self::Threshold => "threshold",
        }
    }
}

/// What a part of the time did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartChange {
    /// Which, in the contract's words.
    pub name: &'static str,
    /// Its median on the first side.
    pub a: Nanos,
    /// Its median on the second side.
    pub b: Nanos,
}

/// An init that runs elsewhere in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub figure: Figure,
    /// Its place among the first side's inits of known packages, from zero.
    pub a: usize,
    /// Its place among those of the second side.
    pub b: usize,
}

impl Comparison {
    /// Compares the second side with the first.
    #[must_use]
    pub fn of(a: &Series, b: &Series) -> Self {
        let none = Samples::default();
        let of_a =
            a.figures().map(|(figure, samples)| change(figure, samples, b.get(figure).unwrap_or(&none)));
        let new = b.figures().filter(|(figure, _)| a.get(figure).is_none());
        let of_b = new.map(|(figure, samples)| change(figure, &none, samples));
        let mut changes: Vec<Change> = of_a.chain(of_b).collect();
        changes.sort_by_cached_key(|change| (Reverse(change.impact()), change.figure.clone()));
        Self { changes, moved: moved(a, b) }
    }

    /// The figures that changed beyond the noise, those of the largest difference first.
    pub fn beyond_noise(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.is_beyond_noise())
    }
}

impl Change {
    /// The second median less the first, in nanoseconds; none when a side has none.
    #[must_use]
    pub fn difference(&self) -> Option<i64> {
        match self.verdict {
            Verdict::Both { difference, .. } => Some(difference),
            Verdict::Added | Verdict::Removed | Verdict::Unfinished => None,
        }
    }

    /// Whether both sides have it, and it differs by more than the noise.
    #[must_use]
    pub fn is_beyond_noise(&self) -> bool {
        match self.verdict {
            Verdict::Both { difference, noise, .. } => difference.unsigned_abs() > noise.0,
            Verdict::Added | Verdict::Removed | Verdict::Unfinished => false,
        }
    }

    /// How much it makes the startup longer or shorter.
    fn impact(&self) -> u64 {
        let median = |side: &Measured| side.spread.map_or(0, |spread| spread.median.0);
        median(&self.a).abs_diff(median(&self.b))
    }
}

impl PartChange {
    /// The second median less the first, in nanoseconds.
    #[must_use]
    pub fn difference(&self) -> i64 {
        difference(self.a, self.b)
    }
}

fn difference(a: Nanos, b: Nanos) -> i64 {
    let clamped = (i128::from(b.0) - i128::from(a.0)).clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(clamped).unwrap_or(0)
}

fn change(figure: &Figure, a: &Samples, b: &Samples) -> Change {
    let measured = |samples: &Samples| Measured { spread: samples.spread(), unfinished: samples.unfinished };
    let (on_a, on_b) = (measured(a), measured(b));
    let verdict = match (on_a.spread, on_b.spread) {
        (Some(a), Some(b)) => {
            let (noise, basis) = noise(&a, &b);
            Verdict::Both { difference: difference(a.median, b.median), noise, basis }
        }
        (None, Some(_)) if on_a.unfinished == 0 => Verdict::Added,
        (Some(_), None) if on_b.unfinished == 0 => Verdict::Removed,
        _ => Verdict::Unfinished,
    };
    let parts = match verdict {
        Verdict::Both { .. } => parts(a, b),
        Verdict::Added | Verdict::Removed | Verdict::Unfinished => Vec::new(),
    };
    Change { figure: figure.clone(), a: on_a, b: on_b, verdict, parts }
}

/// The module's table.
fn noise(a: &Spread, b: &Spread) -> (Nanos, Basis) {
    let range = a.range().max(b.range());
    match a.runs.min(b.runs) {
        QUARTILE_RUNS.. => {
            let quartiles = a.quartile_range().max(b.quartile_range());
            (FLOOR.max(Nanos(quartiles.0.saturating_add(quartiles.0 / 2))), Basis::Quartiles)
        }
        RANGE_RUNS..QUARTILE_RUNS => (FLOOR.max(range), Basis::Range),
        ..RANGE_RUNS => {
            let quarter = Nanos(a.median.max(b.median).0 / 4);
            (UNKNOWN_SPREAD_FLOOR.max(quarter).max(range), Basis::Threshold)
        }
    }
}

fn parts(a: &Samples, b: &Samples) -> Vec<PartChange> {
    let both =
        |(part, name): (usize, &&'static str)| Some(PartChange { name, a: a.part(part)?, b: b.part(part)? });
    let mut parts: Vec<PartChange> = PARTS.iter().enumerate().filter_map(both).collect();
    parts.sort_by_key(|part| Reverse(part.difference().unsigned_abs()));
    parts
}

/// The inits of both sides outside the longest run of them that kept its order.
fn moved(a: &Series, b: &Series) -> Vec<Moved> {
    let places: std::collections::HashMap<&Figure, usize> =
        a.init_order().enumerate().map(|(place, figure)| (figure, place)).collect();
    let common: Vec<(usize, usize, &Figure)> = b
        .init_order()
        .enumerate()
        .filter_map(|(place, figure)| Some((*places.get(figure)?, place, figure)))
        .collect();
    let keys: Vec<usize> = common.iter().map(|(a, ..)| *a).collect();
    let kept = longest_increasing(&keys);
    let is_kept = |index: &usize| kept.binary_search(index).is_ok();
    let outside = common.iter().enumerate().filter(|(index, _)| !is_kept(index));
    outside.map(|(_, (a, b, figure))| Moved { figure: (*figure).clone(), a: *a, b: *b }).collect()
}

/// The indices of a longest increasing subsequence of distinct keys, ascending (patience sorting).
fn longest_increasing(keys: &[usize]) -> Vec<usize> {
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        let length = tails.partition_point(|tail| keys[*tail] < *key);
        before.push(length.checked_sub(1).map(|shorter| tails[shorter]));
        if length == tails.len() {
            tails.push(index);
        } else {
            tails[length] = index;
        }
    }
    let mut found: Vec<usize> =
        std::iter::successors(tails.last().copied(), |index| before[*index]).collect();
    found.reverse();
    found
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
