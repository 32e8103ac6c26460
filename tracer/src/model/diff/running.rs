//! A running program twice, side by side: where its goroutines are blocked for longer or less long each second, and what
//! its garbage collector does, beyond the noise.
//!
//! One capture has no runs to compare, so the noise is not measured but assumed: that calls come independently of each
//! other (a Poisson process), each as long as it happens to be. Then the sum S of what was seen in a span T is
//! S ± √(sum of the squares of the durations), and that sum is at most the longest times S. The rule:
//!
//! | of | the difference counts when it is more than all of |
//! |---|---|
//! | time each second | four deviations of both sides together, 1 ms, a quarter of the larger |
//! | how many each second | four deviations of both sides together (√n of n), 1, a quarter of the larger |
//! | how long each one is | four deviations of both means together, 50 µs, a quarter of the larger; both sides with ten or more |
//! | a quantile of pauses | both sides' intervals that have it at 99.9 %, by their order alone (binomial); 50 µs, a quarter of the larger |
//!
//! So one place needs some sixteen calls before it can count, and long ones that come seldom never do. Of sides that do
//! not differ, whose calls come as assumed, less than one figure in a thousand passes for different. What is *not*
//! assumed away: that the program was asked for the same in both spans. Twice the load is twice the calls and twice the
//! time, and no rule can tell that from a change of the program; how long each one took can. Calls that come in bursts
//! scatter more than is assumed, which the quarter is for. Waits that go on at the end of a span are in neither.

use std::collections::{BTreeMap, BTreeSet};

use super::sample::{Sample, as_f64};
use super::spans::{Collections, Place, Spans};
use super::{FLOOR, UNKNOWN_SPREAD_FLOOR};
use crate::units::Nanos;

/// So many deviations are noise.
pub const DEVIATIONS: f64 = 4.0;

/// So large a part of the larger side is noise.
pub const PART: f64 = 0.25;

/// Means of fewer are not compared.
pub const EACH: u64 = 10;

/// How many deviations wide the interval is that has a quantile at 99.9 %.
const QUANTILE_DEVIATIONS: f64 = 3.29;

/// A figure on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// Of the first side.
    pub a: f64,
    /// Of the second side.
    pub b: f64,
    /// Differences up to this one are noise.
    pub noise: f64,
}

/// What was blocked somewhere, on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockedChange {
    /// Where, or on what.
    pub what: Blocked,
    /// The first side's sums.
    pub a: Sample,
    /// The second side's.
    pub b: Sample,
    /// The time, in nanoseconds a second.
    pub time: Compared,
    /// How many, a second.
    pub count: Compared,
    /// How long each was, in nanoseconds; none when a side has too few.
    pub each: Option<Compared>,
}

/// What a sum is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocked {
    /// All of it.
    All,
    /// A cause.
    Cause(String),
    /// A line of code and a cause; or all lines of a function, which are not the same on both sides.
    Site(Place),
}

/// What the garbage collector did, on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct GcChange {
    /// Which figure.
    pub figure: GcFigure,
    /// It.
    pub compared: Compared,
}

/// A figure of the garbage collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GcFigure {
    /// Cycles a second.
    Cycles,
    /// Nanoseconds a second for which the world was stopped for cycles.
    Pause,
    /// CPU time, in nanoseconds a second, of goroutines that were made to help.
    Assist,
    /// The pause that so many thousandths are not longer than.
    Quantile(u32),
}

/// The quantiles that are compared, in thousandths.
const QUANTILES: [u32; 3] = [500, 900, 990];

/// A running program twice, side by side.
#[derive(Clone, Debug)]
pub struct RunningComparison {
    /// All, the causes and the places, those whose time changed most first.
    pub blocked: Vec<BlockedChange>,
    /// The collector's figures; empty when a side does not tell of it.
    pub gc: Vec<GcChange>,
}

impl RunningComparison {
    /// Compares the second side with the first.
    #[must_use]
    pub fn of(a: &Spans, b: &Spans) -> Self {
        let times = [a.time, b.time];
        let mut sums: BTreeMap<Blocked, [Sample; 2]> = BTreeMap::new();
        let moved = moved(a, b);
        for (side, spans) in [a, b].into_iter().enumerate() {
            for (place, sample) in spans.blocked() {
                let function = of_function(place);
                let site = if moved.contains(&function) { function } else { place.clone() };
                for what in [Blocked::All, Blocked::Cause(place.cause.clone()), Blocked::Site(site)] {
                    sums.entry(what).or_default()[side].add(sample);
                }
            }
        }
        sums.entry(Blocked::All).or_default();
        let change = |(what, [a, b]): (Blocked, [Sample; 2])| BlockedChange {
            what,
            time: time(&a, &b, times),
            count: count(&a, &b, times),
            each: each(&a, &b),
            a,
            b,
        };
        let mut blocked: Vec<BlockedChange> = sums.into_iter().map(change).collect();
        blocked.sort_by(|one, other| {
            let impact = |change: &BlockedChange| change.time.difference().abs();
            impact(other).total_cmp(&impact(one)).then_with(|| one.what.cmp(&other.what))
        });
        let gc = a.gc.as_ref().zip(b.gc.as_ref());
        Self { blocked, gc: gc.map_or_else(Vec::new, |(a, b)| collector(a, b)) }
    }
}

impl Compared {
    fn of(a: f64, b: f64, variance: f64, least: f64) -> Self {
        Self { a, b, noise: (DEVIATIONS * variance.sqrt()).max(least).max(PART * a.max(b)) }
    }

    /// The second side less the first.
    #[must_use]
    pub fn difference(&self) -> f64 {
        self.b - self.a
    }

    /// Whether that is more than the noise.
    #[must_use]
    pub fn is_beyond_noise(&self) -> bool {
        self.difference().abs() > self.noise
    }
}

impl GcFigure {
    /// The name in the NDJSON contract.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Cycles => "cycles".to_owned(),
            Self::Pause => "pause".to_owned(),
            Self::Assist => "assist".to_owned(),
            Self::Quantile(thousandths) => format!("pause_p{}", thousandths / 10),
        }
    }
}

fn time(a: &Sample, b: &Sample, [on_a, on_b]: [Nanos; 2]) -> Compared {
    let variance = a.variance_of_time(on_a) + b.variance_of_time(on_b);
    let least = as_f64(UNKNOWN_SPREAD_FLOOR.0);
    Compared::of(a.time_per_second(on_a), b.time_per_second(on_b), variance, least)
}

fn count(a: &Sample, b: &Sample, [on_a, on_b]: [Nanos; 2]) -> Compared {
    let variance = a.variance_per_second(on_a) + b.variance_per_second(on_b);
    Compared::of(a.per_second(on_a), b.per_second(on_b), variance, 1.0)
}

fn each(a: &Sample, b: &Sample) -> Option<Compared> {
    let variance = a.variance_of_each() + b.variance_of_each();
    (a.count.min(b.count) >= EACH).then(|| Compared::of(a.each(), b.each(), variance, as_f64(FLOOR.0)))
}

/// The functions whose lines are not the same on both sides: lines move from one build to the next, and then a function
/// is compared as a whole.
fn moved(a: &Spans, b: &Spans) -> BTreeSet<Place> {
    let lines = |spans: &Spans| {
        let mut lines: BTreeMap<Place, BTreeSet<(String, u32)>> = BTreeMap::new();
        for place in spans.blocked().keys() {
            lines.entry(of_function(place)).or_default().insert((place.file.clone(), place.line));
        }
        lines
    };
    let (on_a, on_b) = (lines(a), lines(b));
    let differs = |(function, lines): &(Place, _)| on_b.get(function).is_some_and(|other| other != lines);
    on_a.into_iter().filter(differs).map(|(function, _)| function).collect()
}

fn of_function(place: &Place) -> Place {
    Place { file: String::new(), line: 0, ..place.clone() }
}

fn collector(a: &Collections, b: &Collections) -> Vec<GcChange> {
    let mut changes = Vec::new();
    if a.time == Nanos(0) || b.time == Nanos(0) {
        return changes;
    }
    let times = [a.time, b.time];
    let cycles = |side: &Collections| Sample::of(side.cycles, Nanos(0), Nanos(0));
    let compared = count(&cycles(a), &cycles(b), times);
    changes.push(GcChange { figure: GcFigure::Cycles, compared });
    // Of cycles that are in the sums alone there are neither pauses nor assists.
    if a.untold == 0 && b.untold == 0 {
        let compared = time(&a.paused(), &b.paused(), times);
        changes.push(GcChange { figure: GcFigure::Pause, compared });
        changes.push(GcChange { figure: GcFigure::Assist, compared: time(&a.assists, &b.assists, times) });
    }
    let [sorted_a, sorted_b] = [a, b].map(|side| {
        let mut pauses = side.pauses.clone();
        pauses.sort_unstable();
        pauses
    });
    for thousandths in QUANTILES {
        if let Some(compared) = quantiles(&sorted_a, &sorted_b, thousandths) {
            changes.push(GcChange { figure: GcFigure::Quantile(thousandths), compared });
        }
    }
    changes
}

/// A quantile of each of two ascending lists. The noise is what their intervals leave open; none where a side has too few
/// for an interval.
fn quantiles(a: &[Nanos], b: &[Nanos], thousandths: u32) -> Option<Compared> {
    let (on_a, on_b) = (Interval::of(a, thousandths)?, Interval::of(b, thousandths)?);
    // Apart when the intervals are: then the difference is more than what they reach towards each other.
    let (lower, upper) = if on_a.is <= on_b.is { (on_a, on_b) } else { (on_b, on_a) };
    let open = (lower.to - lower.is) + (upper.is - upper.from);
    Some(Compared { noise: open.max(as_f64(FLOOR.0)).max(PART * upper.is), a: on_a.is, b: on_b.is })
}

/// Where a quantile lies.
#[derive(Clone, Copy)]
struct Interval {
    from: f64,
    is: f64,
    to: f64,
}

impl Interval {
    /// How many are below the quantile is binomial, whatever they are.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the list")]
    fn of(ascending: &[Nanos], thousandths: u32) -> Option<Self> {
        let (count, part) = (as_f64(ascending.len() as u64), f64::from(thousandths) / 1000.0);
        let reach = QUANTILE_DEVIATIONS * (count * part * (1.0 - part)).sqrt();
        let at = |rank: f64| {
            let index = (rank.ceil() as usize).checked_sub(1)?;
            ascending.get(index).map(|pause| as_f64(pause.0))
        };
        let (below, above) = (count * part - reach, count * part + reach + 1.0);
        if below < 0.0 {
            return None;
        }
        Some(Self { from: at(below.max(1.0))?, is: at((count * part).max(1.0))?, to: at(above)? })
    }
}

#[cfg(test)]
#[path = "running_tests.rs"]
mod tests;
