//! In which phase and init of a start a cycle ran.

use super::super::init::Init;
use super::super::phases::PhaseName;
use super::super::startup::StartupTimeline;
use super::cycle::GcCycle;
use crate::units::Nanos;

/// Where most of a cycle lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The phase.
    pub phase: PhaseName,
    /// The package whose init ran.
    pub package: Option<String>,
}

impl Charged {
    /// Of a start; none when the cycle is in none of its phases.
    pub(super) fn of(cycle: &GcCycle, timeline: &StartupTimeline) -> Option<Self> {
        let (from, to) = (cycle.start, cycle.end());
        let phases = timeline.phases.iter().map(|phase| {
            // What was reached last goes on.
            let end = if phase.done { phase.start.plus(phase.duration) } else { Nanos(u64::MAX) };
            (overlap((from, to), (phase.start, end)), phase.name)
        });
        let (shared, phase) = phases.max_by_key(|(shared, _)| *shared)?;
        if shared == Nanos(0) {
            return None;
        }
        let package = if phase == PhaseName::Main { None } else { package(cycle, &timeline.inits) };
        Some(Self { phase, package })
    }
}

/// The package whose init most of the cycle lies in; none when more of it lies beside them all.
fn package(cycle: &GcCycle, inits: &[Init]) -> Option<String> {
    let (from, to) = (cycle.start, cycle.end());
    let shared = |init: &Init| overlap((from, to), (init.start, init.start.plus(init.wall)));
    let most = inits.iter().max_by_key(|init| shared(init))?;
    let in_inits: Nanos = inits.iter().map(shared).sum();
    let beside = to.since(from).since(in_inits);
    (shared(most) > beside).then(|| most.package())
}

fn overlap((from, to): (Nanos, Nanos), (start, end): (Nanos, Nanos)) -> Nanos {
    to.min(end).since(from.max(start))
}
