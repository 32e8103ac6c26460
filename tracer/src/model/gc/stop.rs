//! The times that the world was stopped: what for, by whom, and who held it up.

use std::sync::Arc;

use super::super::blocking::Site;
use super::super::blocking::stacks::Stacks;
use super::cycle::GcCycle;
use crate::event::gc::{Holder, Stop};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// `stwReason` (runtime/proc.go): why the world is stopped. The numbers are the same from Go 1.21 to 1.27.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StopReason(pub u32);

/// `stwReasonStrings`, by number.
const REASONS: [&str; 17] = [
    "unknown",
    "GC mark termination",
    "GC sweep termination",
    "write heap dump",
    "goroutine profile",
    "goroutine profile cleanup",
    "all goroutines stack trace",
    "read mem stats",
    "AllThreadsSyscall",
    "GOMAXPROCS",
    "start trace",
    "stop trace",
    "CountPagesInUse (test)",
    "ReadMetricsSlow (test)",
    "ReadMemStatsSlow (test)",
    "PageCachePagesLeaked (test)",
    "ResetDebugLog (test)",
];

impl StopReason {
    /// The collector ends marking.
    pub const MARK_TERM: Self = Self(1);
    /// The collector begins a cycle.
    pub const SWEEP_TERM: Self = Self(2);
    /// `runtime.ReadMemStats`.
    pub const READ_MEM_STATS: Self = Self(7);
    /// GOMAXPROCS changes.
    pub const GOMAXPROCS: Self = Self(9);

    /// As the runtime has it.
    #[must_use]
    pub fn name(self) -> String {
        let known = usize::try_from(self.0).ok().and_then(|number| REASONS.get(number));
        known.map_or_else(|| format!("reason {}", self.0), |name| (*name).to_owned())
    }

    /// Whether it is the collector's.
    #[must_use]
    pub const fn is_gc(self) -> bool {
        matches!(self, Self::MARK_TERM | Self::SWEEP_TERM)
    }

    /// What its sums are told under: both of the collector's together.
    #[must_use]
    pub fn group(self) -> String {
        if self.is_gc() { "GC".to_owned() } else { self.name() }
    }
}

/// The world was stopped. Times are on the boot clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldStop {
    /// What for.
    pub reason: StopReason,
    /// When it was asked to stop; none when gotrace came later.
    pub start: Option<Nanos>,
    /// When its record was written: when it went on, or was about to.
    pub noted: Nanos,
    /// How long it took until it had stopped; none when that was not seen.
    pub stopping: Option<Nanos>,
    /// From where it was asked to stop to where it went on; none when the begin was not seen.
    pub total: Option<Nanos>,
    /// Whether `total` ends with gotrace's own reading, shortly before the world went on.
    pub total_is_estimated: bool,
    /// The cycle that it is part of.
    pub cycle: Option<u32>,
    /// The goroutine that asked.
    pub goid: Option<u64>,
    /// The go statement that made it.
    pub origin: Option<Frame>,
    /// Its stack, innermost first.
    pub stack: Arc<[Arc<Frame>]>,
    /// The line of code that asked.
    pub site: Site,
    /// How often who asked looked whether it had stopped, and it had not: every 100 µs.
    pub looks: u32,
    /// Who was the last to stop, of those that a look found running.
    pub holder: Option<HeldUpBy>,
}

/// Who kept the world from stopping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldUpBy {
    /// What was seen of it.
    pub seen: Holder,
    /// The go statement that made it.
    pub origin: Option<Frame>,
    /// Where it was when it had stopped, innermost first.
    pub stack: Arc<[Arc<Frame>]>,
    /// The line of code that it was in.
    pub site: Site,
}

impl WorldStop {
    /// From the record, and the cycle that it is part of, which tells when a stop of the collector's ended.
    pub(super) fn of(
        noted: Nanos,
        stop: &Stop,
        cycle: Option<&GcCycle>,
        stacks: &mut Stacks<'_>,
        module: Option<&str>,
    ) -> Self {
        let reason = StopReason(stop.reason);
        let exact = stop.total.or_else(|| cycle.and_then(|cycle| total_in(stop, cycle)));
        let read = stop.started.map(|started| stop.monotonic.since(started));
        let origin = stop.gopc.and_then(|gopc| stacks.origin(gopc));
        let stack = stacks.frames(&stop.stack);
        Self {
            reason,
            start: stop.started.map(|started| noted.since(stop.monotonic.since(started))),
            noted,
            stopping: stop.started.zip(stop.finished).map(|(started, finished)| finished.since(started)),
            total: exact.or(read),
            total_is_estimated: exact.is_none() && !stop.own_clock,
            cycle: cycle.map(|cycle| cycle.number),
            goid: stop.goid,
            site: Site::of(&stack, origin.as_ref(), module),
            origin,
            stack,
            looks: stop.looks,
            holder: stop.holder.as_ref().map(|holder| HeldUpBy::of(holder, stacks, module)),
        }
    }

    /// How long the world stood still, once it had stopped.
    #[must_use]
    pub fn stopped(&self) -> Option<Nanos> {
        Some(self.total?.since(self.stopping?))
    }

    /// When it went on.
    #[must_use]
    pub fn end(&self) -> Nanos {
        match (self.start, self.total) {
            (Some(start), Some(total)) => Nanos(start.0.saturating_add(total.0)),
            _ => self.noted,
        }
    }
}

impl HeldUpBy {
    fn of(holder: &Holder, stacks: &mut Stacks<'_>, module: Option<&str>) -> Self {
        let origin = holder.gopc.and_then(|gopc| stacks.origin(gopc));
        let stack = stacks.frames(&holder.stack);
        let site = Site::of(&stack, origin.as_ref(), module);
        Self { seen: holder.clone(), origin, stack, site }
    }
}

/// Where a cycle's stop had to be begun again, the runtime says only how long all of its stops took (`work.pauseNS`): one
/// such took what the others leave of that. `stops` are in order, and so are `cycles`.
pub(super) fn tell_rest(stops: &mut [WorldStop], cycles: &[GcCycle]) {
    for index in 0..stops.len() {
        let WorldStop { total_is_estimated: true, cycle: Some(number), .. } = stops[index] else { continue };
        let Ok(at) = cycles.binary_search_by_key(&number, |cycle| cycle.number) else { continue };
        let (before, rest) = stops.split_at_mut(index);
        let Some((stop, after)) = rest.split_first_mut() else { continue };
        let near = |stop: &&WorldStop| stop.cycle.is_none_or(|cycle| cycle == number);
        let others = before.iter().rev().take_while(near).chain(after.iter().take_while(near));
        let others: Vec<&WorldStop> = others.filter(|stop| stop.cycle.is_some()).collect();
        let is_known = |reason| {
            let mut of_reason = others.iter().filter(|stop| stop.reason == reason);
            of_reason.next().is_some_and(|stop| !stop.total_is_estimated) && of_reason.next().is_none()
        };
        if is_known(StopReason::SWEEP_TERM) && is_known(StopReason::MARK_TERM) {
            let known = others
                .iter()
                .filter_map(|stop| stop.total)
                .fold(0, |sum: u64, total| sum.saturating_add(total.0));
            stop.total = Some(cycles[at].pause.since(Nanos(known)));
            stop.total_is_estimated = false;
        }
    }
}

/// How long a stop of the collector's took, by the cycle's own figures: sweep termination ends at `work.tMark`, the
/// last mark termination at `work.tEnd`. One that had to be begun again ended before, and the runtime does not say when.
/// Go 1.21, where gotrace reads when it began, counts from the cycle's figures there as well (`work.pauseStart`).
pub(super) fn total_in(stop: &Stop, cycle: &GcCycle) -> Option<Nanos> {
    let started = stop.started?.0;
    let begin = cycle.runtime_start.0;
    let mark = begin.saturating_add(cycle.sweep_term.0);
    let mark_term = mark.saturating_add(cycle.mark.0);
    let end = mark_term.saturating_add(cycle.mark_term.0);
    let from = |asked: u64| if stop.own_clock { asked } else { started };
    match StopReason(stop.reason) {
        StopReason::SWEEP_TERM if (begin..=mark).contains(&started) => {
            Some(Nanos(mark.saturating_sub(from(begin))))
        }
        StopReason::MARK_TERM if (mark_term..=end).contains(&started) => {
            Some(Nanos(end.saturating_sub(from(mark_term))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_the_runtimes_names() {
        assert_eq!(StopReason::MARK_TERM.name(), "GC mark termination");
        assert_eq!(StopReason::SWEEP_TERM.name(), "GC sweep termination");
        assert_eq!(StopReason::READ_MEM_STATS.name(), "read mem stats");
        assert_eq!(StopReason::GOMAXPROCS.name(), "GOMAXPROCS");
        assert_eq!(
            (StopReason(16).name(), StopReason(17).name()),
            ("ResetDebugLog (test)".to_owned(), "reason 17".to_owned())
        );
        assert_eq!(
            (StopReason(1).group(), StopReason(7).group()),
            ("GC".to_owned(), "read mem stats".to_owned())
        );
    }
}
