//! A start on its way to the receiver: what is told of it, and no more.

use std::sync::Arc;

use crate::model::{Init, StartupTimeline};
use crate::node::figures::Outcome;
use crate::node::program::Program;
use crate::target::identity::{Identity, Pod};
use crate::units::{Nanos, wall_clock_at};

/// So many inits of a start become spans: those that took longest.
const MOST_INITS: usize = 32;

/// A start.
#[derive(Debug)]
pub(in crate::node) struct Start {
    pub(super) pid: u32,
    pub(super) program: Arc<Program>,
    pub(super) identity: Identity,
    pub(super) pod: Option<Pod>,
    pub(super) outcome: Outcome,
    /// From when on it was seen; none when that was from its first instruction on.
    pub(super) joined: Option<Nanos>,
    /// How many records of the probes were lost meanwhile, of whichever program; none when unknown.
    pub(super) lost: Option<u64>,
    /// With the slowest inits only.
    pub(super) timeline: StartupTimeline,
    /// The inits that are not in that, and how long they took together.
    pub(super) left_out: (u64, Nanos),
    /// When it was ready, if that is known by now.
    pub(super) ready: Option<Nanos>,
    /// Its begin on the wall clock, in nanoseconds since 1970, as that stood when the start was over.
    pub(super) begin_unix_ns: u64,
}

/// Whose start it is.
#[derive(Debug)]
pub(in crate::node) struct Whose {
    pub(in crate::node) pid: u32,
    pub(in crate::node) program: Arc<Program>,
    pub(in crate::node) identity: Identity,
    pub(in crate::node) pod: Option<Pod>,
}

impl Start {
    /// A start that is over, and was ready then if that is known by now.
    pub(in crate::node) fn over(
        whose: Whose,
        outcome: Outcome,
        joined: Option<Nanos>,
        lost: Option<u64>,
        ready: Option<Nanos>,
        mut timeline: StartupTimeline,
    ) -> Self {
        let Whose { pid, program, identity, pod } = whose;
        let left_out = keep_slowest(&mut timeline.inits);
        let begin_unix_ns = wall_clock_at(timeline.begin);
        Self { pid, program, identity, pod, outcome, joined, lost, timeline, left_out, ready, begin_unix_ns }
    }
}

#[cfg(test)]
impl Start {
    /// One that came to `main.main`, of a process of which nothing is known.
    pub(super) fn of_nothing(timeline: StartupTimeline) -> Self {
        let program = Arc::new(Program::of_nothing());
        let whose = Whose { pid: 7, program, identity: Identity::default(), pod: None };
        Self::over(whose, Outcome::Main, None, Some(0), None, timeline)
    }
}

/// Takes the others out. Returns how many, and how long they took together.
fn keep_slowest(inits: &mut Vec<Init>) -> (u64, Nanos) {
    if inits.len() <= MOST_INITS {
        return (0, Nanos(0));
    }
    let mut others: Vec<Init> = std::mem::take(inits);
    others.sort_by_key(|init| std::cmp::Reverse(init.wall));
    *inits = others.drain(..MOST_INITS).collect();
    inits.sort_by_key(|init| init.start);
    (others.len() as u64, others.iter().map(|init| init.wall).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InitName;

    #[test]
    fn the_slowest_are_kept_in_their_order_and_the_rest_is_counted() {
        let init = |number: u64| {
            let name = InitName::Package(number.to_string());
            Init::over(name, Nanos(number * 100), Nanos(if number == 3 { 90 } else { number }))
        };
        let mut inits: Vec<Init> = (0..MOST_INITS as u64 + 4).map(init).collect();
        // 0, 1, 2 and 4: the third took longest.
        assert_eq!(keep_slowest(&mut inits), (4, Nanos(7)));
        assert_eq!(inits.len(), MOST_INITS);
        assert_eq!(inits[0].package(), "3");
        assert!(inits.is_sorted_by_key(|init| init.start));
        assert_eq!(keep_slowest(&mut inits), (0, Nanos(0)));
    }
}
