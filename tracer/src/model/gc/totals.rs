//! Sums of cycles and stops.

use std::collections::BTreeMap;

use super::super::time_sums::TimeSums;
use super::cycle::GcCycle;
use super::stop::StopReason;
use crate::units::Nanos;

/// Sums of what happened in a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Cycles that ended in it.
    pub cycles: u64,
    /// Cycles that ended in it and of which no record came: the numbers have gaps.
    pub missed: u64,
    /// Cycles that the program asked for.
    pub forced: u64,
    /// Cycles whose heap goal was GOMEMLIMIT's.
    pub at_limit: u64,
    /// How long the world was stopped or being stopped for the cycles, by the runtime's own sum.
    pub pause: Nanos,
    /// The longest stop or stopping in a cycle.
    pub longest_pause: Nanos,
    /// CPU time of the collector, without what idle workers took.
    pub cpu: Nanos,
    /// CPU time of goroutines that were made to help, which is part of `cpu`.
    pub assist: Nanos,
    /// CPU time of workers on Ps that had nothing else to do.
    pub idle: Nanos,
    /// How long it marked.
    pub mark: Nanos,
    /// The stops by what for; both of the collector's together.
    pub stops: BTreeMap<String, TimeSums>,
    /// Cycles that are in these sums alone.
    pub untold_cycles: u64,
    /// Stops that are in these sums alone.
    pub untold_stops: u64,
}

impl Totals {
    pub(super) fn add_cycle(&mut self, cycle: &GcCycle) {
        self.cycles += 1;
        self.missed += u64::from(cycle.missed_before);
        self.forced += u64::from(cycle.forced);
        self.at_limit += u64::from(cycle.at_limit);
        self.longest_pause = self.longest_pause.max(cycle.sweep_term).max(cycle.mark_term);
        let sums = [
            (&mut self.pause, cycle.pause),
            (&mut self.cpu, cycle.cpu()),
            (&mut self.assist, cycle.assist),
            (&mut self.idle, cycle.idle),
            (&mut self.mark, cycle.mark),
        ];
        for (sum, part) in sums {
            sum.0 = sum.0.saturating_add(part.0);
        }
    }

    pub(super) fn add_stop(&mut self, reason: StopReason, total: Option<Nanos>) {
        self.stops.entry(reason.group()).or_default().add(&TimeSums::of(total.unwrap_or_default()));
    }
}
