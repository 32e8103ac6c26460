//! Whether the words mean what the layout says. The runtime notes many figures twice, in different places, so a wrong
//! offset shows as a contradiction; then nothing of the collector is told.

use std::collections::VecDeque;

use thiserror::Error;

use super::cycle::GcCycle;
use super::figures::Figures;
use super::stop::total_in;
use crate::event::gc::Stop;
use crate::target::gobin::{CollectorLayout, ControllerLayout, StatsLayout, WorkLayout};
use crate::units::Nanos;

/// Why nothing of the collector is told.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The layout names a word that is not read.
    #[error("byte {offset} of {of} is none of those that are read")]
    Outside {
        /// The variable.
        of: &'static str,
        /// The byte.
        offset: u32,
    },
    /// The layout has two fields in the wrong order, or with a gap that Go's source does not have.
    #[error("{field} is at byte {at}, and Go's source has it at byte {expected}, by what is beside it")]
    Shape {
        /// The field.
        field: &'static str,
        /// Where the layout has it.
        at: u32,
        /// Where it must be.
        expected: u32,
    },
    /// Two figures that are the same are different.
    #[error("in cycle {cycle} {left} is {is}, and {right} {other}")]
    Differ {
        /// The cycle's number, as far as that can be believed.
        cycle: u32,
        /// The one.
        left: &'static str,
        /// Its value.
        is: u64,
        /// The other.
        right: &'static str,
        /// Its value.
        other: u64,
    },
    /// A figure that cannot be.
    #[error("in cycle {cycle} {what}")]
    Impossible {
        /// The cycle's number, as far as that can be believed.
        cycle: u32,
        /// What.
        what: &'static str,
    },
}

/// `memstats.pause_ns` and `pause_end`, 256 words each, are between `pause_total_ns` and `numgc`.
const PAUSE_RINGS: u32 = 2 * 256 * 8;

/// `defaultHeapMinimum` (runtime/mgcpacer.go) where pointers have 8 bytes.
const DEFAULT_HEAP_MINIMUM: u64 = 4 << 20;

/// Whether fields that follow each other in the source of every Go version do so in the layout.
pub(super) fn shape(layout: &CollectorLayout) -> Result<(), Refusal> {
    let WorkLayout { cycles, stwprocs, maxprocs, t_sweep_term, pause_ns, heap0, cpu_assist, .. } =
        layout.work;
    let ControllerLayout { gc_percent, memory_limit, last_heap_goal, heap_live, heap_marked, .. } =
        layout.controller;
    let ControllerLayout { last_stack_scan, globals_scan, assist_time, .. } = layout.controller;
    let StatsLayout { pause_total_ns, numgc } = layout.stats;
    // Go 1.21 has pauseStart between pauseNS and heap0.
    let heap0_after = if heap0 == pause_ns.saturating_add(16) { 16 } else { 8 };
    let rules = [
        ("work.stwprocs", stwprocs, cycles, 4),
        ("work.maxprocs", maxprocs, stwprocs, 4),
        ("work.tSweepTerm", t_sweep_term, maxprocs - maxprocs % 8, 8),
        ("work.pauseNS", pause_ns, t_sweep_term, 32),
        ("work.heap0", heap0, pause_ns, heap0_after),
        ("work.cpuStats", cpu_assist, heap0, 24),
        ("gcController.memoryLimit", memory_limit, gc_percent, 8),
        ("gcController.heapLive", heap_live, last_heap_goal, 8),
        ("gcController.lastStackScan", last_stack_scan, heap_live, 24),
        ("gcController.globalsScan", globals_scan, last_stack_scan, 16),
        ("gcController.heapMarked", heap_marked, globals_scan, 8),
        ("gcController.assistTime", assist_time, heap_marked, 40),
        ("memstats.numgc", numgc, pause_total_ns, 8 + PAUSE_RINGS),
    ];
    for (field, at, before, after) in rules {
        let expected = before.saturating_add(after);
        if at != expected {
            return Err(Refusal::Shape { field, at, expected });
        }
    }
    Ok(())
}

/// Whether the figures of a cycle can be true.
pub(super) fn cycle(figures: &Figures) -> Result<(), Refusal> {
    let check = Check { cycle: figures.numgc };
    let f = figures;
    check.same("work.cycles", f.cycles.into(), "memstats.numgc", f.numgc.into())?;
    check.same("work.tEnd", f.t_end, "memstats.last_gc_nanotime", f.last_gc_nanotime)?;
    let in_order = 0 < f.t_sweep_term
        && f.t_sweep_term < f.t_mark
        && f.t_mark < f.t_mark_term
        && f.t_mark_term < f.t_end
        && f.t_end <= f.monotonic;
    check.holds(in_order, "its phases are not in order, or in the future")?;
    // gcStart gives startCycle the time that it has taken for tSweepTerm.
    check.same("gcController.markStartTime", f.mark_start, "work.tSweepTerm", f.t_sweep_term)?;
    check.holds(f.user_forced <= 1, "work.userForced is neither true nor false")?;
    check.holds(f.initial_heap_live > 1, "work.initialHeapLive, behind userForced, is no size of a heap")?;
    check.holds(0 < f.stwprocs && f.stwprocs <= f.maxprocs, "work.stwprocs is not between 1 and maxprocs")?;
    check.holds(f.pause <= f.t_end - f.t_sweep_term, "work.pauseNS is longer than the cycle")?;
    check.holds(f.pause <= f.pause_total, "work.pauseNS is more than memstats.pause_total_ns")?;
    check.holds(f.pause_total < f.monotonic, "memstats.pause_total_ns is longer than the machine is up")?;
    check.same("work.heap2", f.heap[2], "gcController.heapMarked", f.heap_marked)?;
    check.holds(f.heap_live >= f.heap_marked, "gcController.heapLive is less than heapMarked")?;
    // Reset by resetLive, at the end of marking.
    check.same("gcController.triggered", f.triggered, "what it is between cycles", u64::MAX)?;
    for scan in f.last_heap_scan {
        check.same("gcController.lastHeapScan", scan, "heapScanWork", f.scan_work[0])?;
    }
    check.same("gcController.lastStackScan", f.stack_scan, "stackScanWork", f.scan_work[1])?;
    let minimum = DEFAULT_HEAP_MINIMUM.wrapping_mul(i64::from(f.gc_percent).cast_unsigned()) / 100;
    check.same("gcController.heapMinimum", f.heap_minimum, "what gcPercent makes of it", minimum)?;
    check.holds(f.memory_limit <= super::cycle::NO_LIMIT, "gcController.memoryLimit is negative")?;
    check.same("gcController.globalsScan", f.globals_scan, "globalsScanWork", f.scan_work[2])?;
    check.holds(f.total_free <= f.total_alloc, "more was freed than allocated")?;
    check.holds(f.heap_in_use <= f.mapped_ready, "more of the heap is in use than is mapped")?;
    check.same(
        "memstats.gc_cpu_fraction",
        f.cpu_fraction.to_bits(),
        "what work.cpuStats makes of it",
        fraction(figures).to_bits(),
    )
}

/// Whether it can be that a cycle follows that one. `resized` says that GOMAXPROCS may have changed between them.
/// The number of cycles between them that were not seen.
pub(super) fn follows(figures: &Figures, before: &Figures, resized: bool) -> Result<u32, Refusal> {
    let check = Check { cycle: figures.numgc };
    let (f, b) = (figures, before);
    let ahead = f.numgc.wrapping_sub(b.numgc);
    check.holds(0 < ahead && ahead < u32::MAX / 2, "its number is not above that of the cycle before")?;
    check.holds(f.t_sweep_term >= b.t_end, "it began before the cycle before had ended")?;
    check.holds(f.total_alloc >= b.total_alloc, "gcController.totalAlloc has shrunk")?;
    check.holds(f.total_free >= b.total_free, "gcController.totalFree has shrunk")?;
    check.holds(f.pause_total >= b.pause_total, "memstats.pause_total_ns has shrunk")?;
    let grown = |now: u64, then: u64| now.wrapping_sub(then);
    let forced = u64::from(f.numforcedgc.wrapping_sub(b.numforcedgc));
    check.holds(forced <= u64::from(ahead), "memstats.numforcedgc grew by more than the cycles")?;
    if ahead > 1 {
        return Ok(ahead - 1);
    }
    check.same("memstats.numforcedgc's growth", forced, "work.userForced", f.user_forced)?;
    let pause = grown(f.pause_total, b.pause_total);
    check.same("memstats.pause_total_ns's growth", pause, "work.pauseNS", f.pause)?;
    let assist = grown(f.cpu.assist, b.cpu.assist);
    check.same("cpuStats.GCAssistTime's growth", assist, "gcController.assistTime", f.assist)?;
    let dedicated = grown(f.cpu.dedicated, b.cpu.dedicated);
    let marked = f.dedicated.wrapping_add(f.fractional);
    check.same("cpuStats.GCDedicatedTime's growth", dedicated, "the workers' mark time", marked)?;
    let idle = grown(f.cpu.idle, b.cpu.idle);
    check.same("cpuStats.GCIdleTime's growth", idle, "gcController.idleMarkTime", f.idle)?;
    if !resized {
        // All Ps' time, whatever they did. GOMAXPROCS may have changed once, where stops are not seen.
        let total = u128::from(grown(f.cpu.total, b.cpu.total));
        let all = |procs: u32| u128::from(grown(f.t_end, b.t_end)) * u128::from(procs);
        let within = all(f.maxprocs.min(b.maxprocs))..=all(f.maxprocs.max(b.maxprocs));
        check
            .holds(within.contains(&total), "cpuStats.TotalTime did not grow by the time on work.maxprocs")?;
    }
    Ok(0)
}

/// Whether the collector's stops fit the cycle that they are part of: its `pauseNS` is their sum. `stops` are those so
/// far.
pub(super) fn stops(
    figures: &Figures,
    stops: &VecDeque<(Nanos, Stop)>,
    cycle: &GcCycle,
) -> Result<(), Refusal> {
    let check = Check { cycle: figures.numgc };
    let is_of_it = |stop: &&Stop| stop.started.is_some_and(|started| started >= cycle.runtime_start);
    let (mut sum, mut count) = (0, 0);
    for stop in stops.iter().rev().map(|(_, stop)| stop).take_while(is_of_it).filter(|stop| !stop.own_clock) {
        if let Some(total) = total_in(stop, cycle) {
            (sum, count) = (total.0.saturating_add(sum), count + 1);
        }
    }
    check.holds(count <= 2, "the world was stopped more often than twice")?;
    // One that had to be begun again is in pauseNS as well, and a record may be lost.
    check.holds(sum <= figures.pause, "work.pauseNS is less than the stops that were seen")
}

/// `memstats.gc_cpu_fraction`, as gcMarkTermination computes it.
#[expect(clippy::cast_precision_loss, reason = "as the runtime does")]
fn fraction(figures: &Figures) -> f64 {
    let cpu = &figures.cpu;
    cpu.gc_total.wrapping_sub(cpu.idle).cast_signed() as f64 / cpu.total.cast_signed() as f64
}

struct Check {
    cycle: u32,
}

impl Check {
    fn same(&self, left: &'static str, is: u64, right: &'static str, other: u64) -> Result<(), Refusal> {
        let cycle = self.cycle;
        if is == other { Ok(()) } else { Err(Refusal::Differ { cycle, left, is, right, other }) }
    }

    fn holds(&self, holds: bool, what: &'static str) -> Result<(), Refusal> {
        let cycle = self.cycle;
        if holds { Ok(()) } else { Err(Refusal::Impossible { cycle, what }) }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
