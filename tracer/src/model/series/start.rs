//! One startup, as far as it is compared: of a report that was just made, or read back from one.

use crate::model::parts::{Cause, Parts};
use crate::model::report::Report;
use crate::units::Nanos;

/// What the time of a phase or an init is split into, in the contract's words: on the CPU, without one, every
/// [`Cause`], what nothing explains, and the causes all together where they are not told apart.
pub const PARTS: [&str; PART_COUNT] = {
    let mut names = ["on_cpu"; PART_COUNT];
    names[RUNNABLE] = "runnable";
    let mut cause = 0;
    while cause < Cause::ALL.len() {
        names[of_cause(Cause::ALL[cause])] = Cause::ALL[cause].name();
        cause += 1;
    }
    names[REMAINDER] = "remainder";
    names[BLOCKED] = "blocked";
    names
};

const PART_COUNT: usize = Cause::ALL.len() + 4;
pub(in crate::model) const ON_CPU: usize = 0;
pub(in crate::model) const RUNNABLE: usize = 1;
pub(in crate::model) const REMAINDER: usize = PART_COUNT - 2;
pub(in crate::model) const BLOCKED: usize = PART_COUNT - 1;

/// The place of a cause in [`PARTS`].
pub(in crate::model) const fn of_cause(cause: Cause) -> usize {
    cause as usize + 2
}

/// How long each part of a stretch of time is, by [`PARTS`]; none for what was not measured.
pub type PartTimes = [Option<Nanos>; PART_COUNT];

/// One startup, as far as it is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// From execve to `main.main`.
    pub to_main: Option<Nanos>,
    /// From execve to readiness.
    pub to_ready: Option<Nanos>,
    /// The phases before `main.main`, by their names in the contract.
    pub phases: Vec<Stretch>,
    /// The inits whose packages are known, in order.
    pub inits: Vec<Stretch>,
    /// How many inits had no known package.
    pub unresolved: u64,
    /// Whether nothing was lost, left out or unknown.
    pub complete: bool,
}

/// A phase or an init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The phase's name or the package.
    pub name: String,
    /// How long it took, or has taken so far.
    pub wall: Nanos,
    /// Whether it came to its end.
    pub done: bool,
    /// What the time went to.
    pub parts: PartTimes,
}

/// The phase that is no part of the startup: it lasts as long as the program is left running.
pub(in crate::model) const MAIN: &str = "main";

impl Start {
    /// Of a report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let timeline = &report.timeline;
        let stretch = |name: String, wall, done, parts: Option<&Parts>| {
            let parts = parts.map_or_else(PartTimes::default, part_times);
            Stretch { name, wall, done, parts }
        };
        let phases = timeline.phases.iter().filter(|phase| phase.name.name() != MAIN).map(|phase| {
            stretch(phase.name.name().to_owned(), phase.duration, phase.done, phase.parts.as_ref())
        });
        let inits = timeline.inits.iter().filter(|init| !init.is_unresolved());
        Self {
            to_main: timeline.to_main,
            to_ready: timeline.to_ready(),
            phases: phases.collect(),
            inits: inits
                .map(|init| stretch(init.package(), init.wall, init.done, init.parts.as_ref()))
                .collect(),
            unresolved: report.totals().unresolved,
            complete: report.is_complete(),
        }
    }
}

fn part_times(parts: &Parts) -> PartTimes {
    let mut times = PartTimes::default();
    times[ON_CPU] = Some(parts.on_cpu);
    times[RUNNABLE] = Some(parts.runnable);
    times[REMAINDER] = Some(parts.remainder);
    for cause in Cause::ALL {
        times[of_cause(cause)] = Some(parts.blocked_by(cause));
    }
    times
}
