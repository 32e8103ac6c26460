//! What gotrace itself cost a start: how often its probes were met, times what that costs on this machine.
//!
//! What they are met by is counted, what one costs is measured in a loop, where all is in the processor's caches: so it is
//! an estimate, and rather too low. Not in it are the system calls of other threads, the scheduler's tracepoints, and
//! that the program finds its own data out of the caches.

use super::startup::StartupTimeline;
use crate::event::Event;
use crate::probe::{Costs, Probe};
use crate::stream::ProbeLoss;
use crate::units::{Nanos, saturating_sum};

/// What the program paid up to `main.main`, or to the end of a start that did not come to it.
pub(super) fn overhead(
    costs: &Costs,
    events: &[Event],
    losses: &[ProbeLoss],
    timeline: &StartupTimeline,
) -> Nanos {
    let probes = |is_meant: fn(Probe) -> bool| {
        saturating_sum(losses.iter().filter(|loss| is_meant(loss.probe)).map(|loss| loss.hits))
    };
    // Those of the start's own probes are not counted from main.main on; the collector's are.
    let hits = probes(|probe| !probe.is_tracepoint() && !is_collectors(probe));
    let of_collector = |until: Nanos| {
        events.iter().filter(|event| is_collectors(event.probe()) && event.time <= until).count() as u64
    };
    let all = of_collector(Nanos(u64::MAX));
    let main = timeline.to_main.map_or(Nanos(u64::MAX), |to_main| timeline.begin.plus(to_main));
    let collectors = probes(is_collectors).saturating_mul(of_collector(main)).checked_div(all).unwrap_or(0);
    let parts = timeline.phases.iter().filter_map(|phase| phase.parts);
    let syscalls = saturating_sum(parts.map(|parts| parts.syscalls));
    let times = |cost: Nanos, number: u64| Nanos(cost.0.saturating_mul(number));
    [
        times(costs.hit, hits.saturating_add(collectors)),
        times(costs.syscall, syscalls),
        times(costs.page, costs.pages),
    ]
    .into_iter()
    .sum()
}

/// Whether it is one of those that see the collector, and go on after `main.main`.
fn is_collectors(probe: Probe) -> bool {
    matches!(
        probe,
        Probe::GcCycle
            | Probe::WorldStopping
            | Probe::WorldStopped
            | Probe::WorldStarting
            | Probe::WorldStarted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Account, EventKind, Hit};
    use crate::model::{InitCatalogue, Observation, Symbols};
    use crate::target::gobin::Frame;
    use crate::units::RuntimeAddr;

    struct Nothing;

    impl Symbols for Nothing {
        fn frames(&self, _address: RuntimeAddr) -> Vec<Frame> {
            Vec::new()
        }

        fn wait_reason(&self, _number: u8) -> Option<&'static str> {
            None
        }
    }

    fn hit(probe: Probe, time: u64, syscalls: u64) -> Event {
        let account = Account { syscalls, ..Account::default() };
        let hit = Hit { probe, ip: RuntimeAddr(0), argument: 0, account, heap: None };
        Event { time: Nanos(time), tid: 1, kind: EventKind::Hit(hit) }
    }

    fn loss(probe: Probe, hits: u64) -> ProbeLoss {
        ProbeLoss { probe, hits, dropped: 0 }
    }

    fn timeline() -> StartupTimeline {
        let observed = Observation::until(Nanos(0), Nanos(9));
        StartupTimeline::of(&[], &InitCatalogue::default(), &Nothing, &observed)
    }

    const COSTS: Costs = Costs { hit: Nanos(1_000), syscall: Nanos(100), page: Nanos(3_000), pages: 7 };

    #[test]
    fn hits_system_calls_and_pages_are_paid_for() {
        let mut timeline = timeline();
        timeline.to_main = Some(Nanos(50));
        let losses =
            [loss(Probe::Init, 90), loss(Probe::GoEntry, 1), loss(Probe::Call, 40), loss(Probe::Exit, 4)];
        assert_eq!(overhead(&COSTS, &[], &losses, &timeline), Nanos(91 * 1_000 + 7 * 3_000));
    }

    #[test]
    fn what_the_collector_does_after_main_is_not_the_starts() {
        let mut timeline = timeline();
        timeline.to_main = Some(Nanos(50));
        let events: Vec<Event> =
            [10, 20, 60, 70].into_iter().map(|time| hit(Probe::GcCycle, time, 0)).collect();
        let losses = [loss(Probe::GcCycle, 4), loss(Probe::WorldStopped, 8)];
        assert_eq!(overhead(&COSTS, &events, &losses, &timeline), Nanos(6 * 1_000 + 7 * 3_000));
        timeline.to_main = None;
        assert_eq!(overhead(&COSTS, &events, &losses, &timeline), Nanos(12 * 1_000 + 7 * 3_000));
    }

    #[test]
    fn absurd_figures_end_at_the_largest_there_is() {
        let timeline = timeline();
        let losses = [loss(Probe::Init, u64::MAX), loss(Probe::GcCycle, u64::MAX)];
        assert_eq!(overhead(&COSTS, &[], &losses, &timeline), Nanos(u64::MAX));
    }
}
