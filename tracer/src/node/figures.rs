//! What is known of the starts of each workload, and of the agent's own work.

use std::collections::{BTreeMap, HashMap};

use prometheus_client::metrics::histogram::Histogram;

use super::blocking::Blocked;
use super::workload::Workload;
use crate::model::{InitName, StartupTimeline};
use crate::units::Nanos;

/// How a start ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It reached `main.main`.
    Main,
    /// The process ended before.
    Ended,
    /// It became another program before.
    Replaced,
}

impl Outcome {
    /// The label's value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Ended => "ended",
            Self::Replaced => "replaced",
        }
    }
}

/// From 1 ms to a minute.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

/// The starts of a workload.
#[derive(Debug)]
pub struct Figures {
    /// From the end of execve to `main.main`, in seconds.
    pub to_main: Histogram,
    /// From the end of execve to when `main.main` has begun and a TCP socket listens, in seconds; none while no
    /// start came so far.
    pub ready: Option<Histogram>,
    /// What the probes cost the starts, at least; none when that could not be measured.
    pub probes: Option<Nanos>,
    /// How many ended how.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// How many had begun before their binary was watched.
    pub joined_late: u64,
    /// How long all of them together were in each phase that they left.
    pub phases: BTreeMap<&'static str, Nanos>,
    /// The last that reached `main.main`.
    pub last: Option<Last>,
    /// What processes were blocked on while they were watched for it; none while none was.
    pub(super) blocked: Option<Blocked>,
    /// When there was something to tell last, in no unit.
    touched: u64,
}

/// A start that reached `main.main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// How long that took from the end of execve on.
    pub to_main: Nanos,
    /// How long each phase took.
    pub phases: BTreeMap<&'static str, Nanos>,
    /// The package whose init took longest, and how long.
    pub slowest: Option<(String, Nanos)>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            to_main: Histogram::new(BOUNDS),
            ready: None,
            probes: None,
            outcomes: BTreeMap::new(),
            joined_late: 0,
            phases: BTreeMap::new(),
            last: None,
            blocked: None,
            touched: 0,
        }
    }
}

impl Figures {
    /// A start became ready, so long after the end of execve.
    pub(super) fn is_ready(&mut self, took: Nanos) {
        self.ready.get_or_insert_with(|| Histogram::new(BOUNDS)).observe(seconds(took));
    }

    /// A start ran into so many probes, each of which costs that.
    pub(super) fn spent(&mut self, hits: u64, each: Nanos) {
        let sum = self.probes.get_or_insert_default();
        *sum = sum.plus(Nanos(hits.saturating_mul(each.0)));
    }

    /// Adds a start.
    pub fn add(&mut self, outcome: Outcome, timeline: &StartupTimeline) {
        *self.outcomes.entry(outcome).or_default() += 1;
        let mut phases = BTreeMap::new();
        for phase in timeline.phases.iter().filter(|phase| phase.done) {
            phases.insert(phase.name.name(), phase.duration);
            let sum = self.phases.entry(phase.name.name()).or_default();
            *sum = sum.plus(phase.duration);
        }
        let Some(to_main) = timeline.to_main.filter(|_| outcome == Outcome::Main) else { return };
        self.to_main.observe(seconds(to_main));
        let named = timeline.inits.iter().filter_map(|init| match &init.name {
            InitName::Package(package) => Some((package, init.wall)),
            InitName::Empty | InitName::Unknown(_) => None,
        });
        let slowest = named.max_by_key(|(_, wall)| *wall).map(|(package, wall)| (package.clone(), wall));
        self.last = Some(Last { to_main, phases, slowest });
    }
}

/// As Prometheus counts time.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "exact for the first 104 days, and to a microsecond for long after"
)]
pub(super) fn seconds(time: Nanos) -> f64 {
    time.0 as f64 / 1e9
}

/// The ends of a histogram's buckets as Prometheus has them: what is counted in whole nanoseconds is shorter than each of
/// these bounds, and its buckets have what is as long as their ends. The last has no end.
pub(super) fn bucket_ends<const N: usize>(bounds: [u64; N]) -> impl Iterator<Item = f64> {
    bounds.into_iter().map(|bound| seconds(Nanos(bound - 1))).chain([f64::INFINITY])
}

/// The figures of all workloads, as many as there is room for.
#[derive(Debug)]
pub struct Workloads {
    known: HashMap<Workload, Figures>,
    most: usize,
    turn: u64,
    /// How many were given up for others.
    pub evicted: u64,
}

impl Workloads {
    /// For so many at most.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { known: HashMap::new(), most: most.max(1), turn: 0, evicted: 0 }
    }

    /// Those of a workload. When there are too many, those go that nothing was told of for longest.
    pub fn of(&mut self, workload: &Workload) -> &mut Figures {
        self.turn += 1;
        if !self.known.contains_key(workload) && self.known.len() >= self.most {
            let oldest = self.known.iter().min_by_key(|(_, figures)| figures.touched);
            if let Some(oldest) = oldest.map(|(workload, _)| workload.clone()) {
                self.known.remove(&oldest);
                self.evicted += 1;
            }
        }
        let figures = self.known.entry(workload.clone()).or_default();
        figures.touched = self.turn;
        figures
    }

    /// All of them, in the order of their names.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&Workload, &Figures)> {
        let mut all: Vec<_> = self.known.iter().collect();
        all.sort_by_key(|(workload, _)| *workload);
        all
    }
}

/// What the agent counts of its own work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Starts left out because what would tell how they ended may be what was lost.
    pub unsure: u64,
    /// Starts of a watched binary that nobody asked for.
    pub unselected: u64,
    /// Starts whose control group was gone before it could be looked at.
    pub unplaced: u64,
    /// Executables of Go that cannot be watched.
    pub refused: u64,
    /// Times that a binary was let go because watching took more than it may.
    pub suspended: u64,
    /// Executables that did not answer in time.
    pub silent: u64,
    /// Times that it was not heard what a process is blocked on.
    pub unheard: u64,
    /// Executables and processes that were not looked at, because there were too many at a time.
    pub skipped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_that_was_quiet_longest_goes_first() {
        let named = |exe: usize| Workload { exe: exe.to_string(), ..Workload::default() };
        let mut workloads = Workloads::new(2);
        for exe in [1, 2, 1, 3] {
            workloads.of(&named(exe)).joined_late += 1;
        }
        let left: Vec<_> = workloads
            .sorted()
            .iter()
            .map(|(workload, figures)| (workload.exe.clone(), figures.joined_late))
            .collect();
        assert_eq!(left, [("1".to_owned(), 2), ("3".to_owned(), 1)]);
        assert_eq!(workloads.evicted, 1);
    }
}
