//! A cycle of the garbage collector, as the runtime has it.

use serde::{Deserialize, Serialize};

use super::figures::Figures;
use crate::units::Nanos;

/// What else was seen when a cycle was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Surroundings {
    /// The process's resident memory, in bytes.
    pub rss: Option<u64>,
    /// How long its control group has kept its threads from running, since the group was made.
    pub throttled: Option<Nanos>,
}

/// A cycle. Durations are the runtime's own figures; times are on the boot clock unless it says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct GcCycle {
    /// Its number, from one: `memstats.numgc`.
    pub number: u32,
    /// Whether the program asked for it (`runtime.GC`, `debug.FreeOSMemory`).
    pub forced: bool,
    /// Whether it had begun before the probes were armed: its stops and assists were not all seen.
    pub partial: bool,
    /// So many cycles were not seen between the one before and this.
    pub missed_before: u32,
    /// When its record was written.
    pub noted: Nanos,
    /// When it began, with the world being asked to stop.
    pub start: Nanos,
    /// The same on the runtime's clock (`work.tSweepTerm`).
    pub runtime_start: Nanos,
    /// How long sweep termination took, with the world stopped or being stopped.
    pub sweep_term: Nanos,
    /// How long it marked while the program went on.
    pub mark: Nanos,
    /// How long mark termination took, with the world stopped or being stopped.
    pub mark_term: Nanos,
    /// CPU time of goroutines that were made to help.
    pub assist: Nanos,
    /// CPU time of workers that have a P to themselves.
    pub dedicated: Nanos,
    /// CPU time of workers that share one.
    pub fractional: Nanos,
    /// CPU time of workers on Ps that had nothing else to do.
    pub idle: Nanos,
    /// On so many CPUs the stops are counted (`work.stwprocs`).
    pub stop_procs: u32,
    /// GOMAXPROCS.
    pub procs: u32,
    /// The heap when it began, in bytes: live or not yet swept.
    pub heap_start: u64,
    /// When it ended.
    pub heap_end: u64,
    /// What was marked: the live part.
    pub heap_marked: u64,
    /// `gcController.heapLive` when the record was written: what is marked, and what was allocated since.
    pub heap_live: u64,
    /// What the heap was to be at the cycle's end at most; `u64::MAX` when nothing bounds it.
    pub heap_goal: u64,
    /// Bytes of stacks that were scanned.
    pub stack_scan: u64,
    /// Bytes of globals to scan.
    pub globals_scan: u64,
    /// The share of the CPU time since the program's start that the collector took (`memstats.gc_cpu_fraction`).
    pub cpu_fraction: f64,
    /// How long the world was stopped or being stopped in this cycle (`work.pauseNS`).
    pub pause: Nanos,
    /// GOGC; -1 when it is off.
    pub gc_percent: i32,
    /// GOMEMLIMIT in bytes; [`NO_LIMIT`] when there is none.
    pub memory_limit: u64,
    /// Whether GOMEMLIMIT held the heap below what GOGC alone would have allowed; false for the first cycle, of which
    /// that is not known.
    pub at_limit: bool,
    /// Bytes allocated since the program's start.
    pub allocated: u64,
    /// What else was seen.
    pub surroundings: Surroundings,
}

/// `gcController.memoryLimit` where no limit is set: `math.MaxInt64`.
pub const NO_LIMIT: u64 = i64::MAX as u64;

impl GcCycle {
    /// From figures that have passed every check. `began` is when the probes were armed; `before` the cycle before,
    /// with the number of those between that were not seen.
    pub(super) fn of(
        figures: &Figures,
        noted: Nanos,
        began: Nanos,
        before: Option<(&Figures, u32)>,
        surroundings: Surroundings,
    ) -> Self {
        let start = figures.on_boot_clock(noted, figures.t_sweep_term);
        let between = |from: u64, to: u64| Nanos(to.saturating_sub(from));
        let [heap_start, heap_end, heap_marked] = figures.heap;
        Self {
            number: figures.numgc,
            forced: figures.is_forced(),
            partial: start < began,
            missed_before: before.map_or(0, |(_, missed)| missed),
            noted,
            start,
            runtime_start: Nanos(figures.t_sweep_term),
            sweep_term: between(figures.t_sweep_term, figures.t_mark),
            mark: between(figures.t_mark, figures.t_mark_term),
            mark_term: between(figures.t_mark_term, figures.t_end),
            assist: Nanos(figures.assist),
            dedicated: Nanos(figures.dedicated),
            fractional: Nanos(figures.fractional),
            idle: Nanos(figures.idle),
            stop_procs: figures.stwprocs,
            procs: figures.maxprocs,
            heap_start,
            heap_end,
            heap_marked,
            heap_live: figures.heap_live,
            heap_goal: figures.heap_goal,
            stack_scan: figures.stack_scan,
            globals_scan: figures.globals_scan,
            cpu_fraction: figures.cpu_fraction,
            pause: Nanos(figures.pause),
            gc_percent: figures.gc_percent,
            memory_limit: figures.memory_limit,
            at_limit: is_at_limit(figures, before.map(|(before, _)| before)),
            allocated: figures.total_alloc,
            surroundings,
        }
    }

    /// From its begin to its end.
    #[must_use]
    pub fn duration(&self) -> Nanos {
        self.sweep_term.plus(self.mark).plus(self.mark_term)
    }

    /// When it ended.
    #[must_use]
    pub fn end(&self) -> Nanos {
        Nanos(self.start.0.saturating_add(self.duration().0))
    }

    /// CPU time of sweep termination, as gctrace counts it: all CPUs, whatever they did.
    #[must_use]
    pub fn sweep_term_cpu(&self) -> Nanos {
        Nanos(self.sweep_term.0.saturating_mul(self.stop_procs.into()))
    }

    /// The same of mark termination.
    #[must_use]
    pub fn mark_term_cpu(&self) -> Nanos {
        Nanos(self.mark_term.0.saturating_mul(self.stop_procs.into()))
    }

    /// CPU time that it took from the program; what idle workers took is not in it.
    #[must_use]
    pub fn cpu(&self) -> Nanos {
        let parts =
            [self.assist, self.dedicated, self.fractional, self.sweep_term_cpu(), self.mark_term_cpu()];
        Nanos(parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.0)))
    }
}

/// Whether GOMEMLIMIT held the heap below what GOGC alone would have allowed; `before` is the cycle before.
fn is_at_limit(figures: &Figures, before: Option<&Figures>) -> bool {
    if figures.memory_limit >= NO_LIMIT {
        return false;
    }
    let Ok(percent) = u64::try_from(figures.gc_percent) else { return true };
    let Some(before) = before else { return false };
    // runtime/mgcpacer.go, commit: the goal is what was marked, and GOGC percent of that, of stacks and of globals; at
    // least heapMinimum.
    let roots = before.stack_scan.saturating_add(before.globals_scan);
    let grows = u128::from(before.heap_marked.saturating_add(roots)) * u128::from(percent) / 100;
    let by_percent = u128::from(before.heap_marked) + grows;
    u128::from(figures.heap_goal) < by_percent.max(figures.heap_minimum.into())
}
