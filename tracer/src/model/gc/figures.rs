//! A cycle's raw words and the layout -> what the runtime has noted, with all that it is checked by.

use super::check::Refusal;
use crate::event::gc::Cycle;
use crate::target::gobin::CollectorLayout;
use crate::units::Nanos;

/// What the runtime had noted when a cycle was over. Times are on its own clock, CLOCK_MONOTONIC.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    /// CLOCK_MONOTONIC at the probe.
    pub monotonic: u64,
    /// The word that begins with `work.userForced`; the rest of it is padding, which nobody writes.
    pub user_forced: u64,
    /// `work.initialHeapLive`, which follows it.
    pub initial_heap_live: u64,
    /// `work.cycles`
    pub cycles: u32,
    /// `work.stwprocs`
    pub stwprocs: u32,
    /// `work.maxprocs`
    pub maxprocs: u32,
    /// `work.tSweepTerm`
    pub t_sweep_term: u64,
    /// `work.tMark`
    pub t_mark: u64,
    /// `work.tMarkTerm`
    pub t_mark_term: u64,
    /// `work.tEnd`
    pub t_end: u64,
    /// `work.pauseNS`
    pub pause: u64,
    /// `work.heap0`, `heap1` and `heap2`
    pub heap: [u64; 3],
    /// `work.cpuStats`
    pub cpu: CpuStats,
    /// `gcController.gcPercent`
    pub gc_percent: i32,
    /// `gcController.memoryLimit`
    pub memory_limit: u64,
    /// `gcController.heapMinimum`, which follows it.
    pub heap_minimum: u64,
    /// `gcController.triggered`, which is before `lastHeapGoal`.
    pub triggered: u64,
    /// `gcController.lastHeapGoal`
    pub heap_goal: u64,
    /// `gcController.heapLive`
    pub heap_live: u64,
    /// `gcController.lastHeapScan`, counted from `heapLive` and from `lastStackScan`.
    pub last_heap_scan: [u64; 2],
    /// `gcController.lastStackScan`
    pub stack_scan: u64,
    /// `gcController.globalsScan`
    pub globals_scan: u64,
    /// `gcController.heapMarked`
    pub heap_marked: u64,
    /// `gcController.heapScanWork`, `stackScanWork` and `globalsScanWork`, which follow it.
    pub scan_work: [u64; 3],
    /// `gcController.assistTime`
    pub assist: u64,
    /// `gcController.dedicatedMarkTime`
    pub dedicated: u64,
    /// `gcController.fractionalMarkTime`
    pub fractional: u64,
    /// `gcController.idleMarkTime`
    pub idle: u64,
    /// `gcController.markStartTime`, which follows it.
    pub mark_start: u64,
    /// `gcController.heapInUse`, three before `totalAlloc`.
    pub heap_in_use: u64,
    /// `gcController.totalAlloc`
    pub total_alloc: u64,
    /// `gcController.totalFree`, which follows it.
    pub total_free: u64,
    /// `gcController.mappedReady`, which follows that.
    pub mapped_ready: u64,
    /// `memstats.numgc`
    pub numgc: u32,
    /// `memstats.numforcedgc`
    pub numforcedgc: u32,
    /// `memstats.gc_cpu_fraction`
    pub cpu_fraction: f64,
    /// `memstats.last_gc_nanotime`
    pub last_gc_nanotime: u64,
    /// `memstats.pause_total_ns`
    pub pause_total: u64,
}

/// `runtime.cpuStats` (runtime/mstats.go): CPU time since the program's start, as far as it is of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CpuStats {
    pub assist: u64,
    pub dedicated: u64,
    pub idle: u64,
    pub gc_total: u64,
    pub total: u64,
}

impl Figures {
    /// Which word is what, by the layout.
    pub(super) fn of(layout: &CollectorLayout, cycle: &Cycle) -> Result<Self, Refusal> {
        let CollectorLayout { work: at, controller: pace, .. } = *layout;
        let work = Words { of: "runtime.work", from: at.from(), words: &cycle.work };
        let controller = Words { of: "runtime.gcController", from: 0, words: &cycle.controller };
        let stats = Words { of: "runtime.memstats", from: 0, words: &cycle.stats };
        let (counts, fraction, last_gc) = (stats.word(0)?, stats.word(8)?, stats.word(16)?);
        Ok(Self {
            monotonic: cycle.monotonic.0,
            user_forced: work.word(at.user_forced)?,
            initial_heap_live: work.after(at.user_forced, 1)?,
            cycles: work.half(at.cycles)?,
            stwprocs: work.half(at.stwprocs)?,
            maxprocs: work.half(at.maxprocs)?,
            t_sweep_term: work.word(at.t_sweep_term)?,
            t_mark: work.after(at.t_sweep_term, 1)?,
            t_mark_term: work.after(at.t_sweep_term, 2)?,
            t_end: work.after(at.t_sweep_term, 3)?,
            pause: work.word(at.pause_ns)?,
            heap: [work.word(at.heap0)?, work.after(at.heap0, 1)?, work.after(at.heap0, 2)?],
            cpu: CpuStats {
                assist: work.word(at.cpu_assist)?,
                dedicated: work.after(at.cpu_assist, 1)?,
                idle: work.after(at.cpu_assist, 2)?,
                gc_total: work.after(at.cpu_assist, 4)?,
                total: work.after(at.cpu_assist, 10)?,
            },
            gc_percent: controller.half(pace.gc_percent)?.cast_signed(),
            memory_limit: controller.word(pace.memory_limit)?,
            heap_minimum: controller.after(pace.memory_limit, 1)?,
            triggered: controller.after(pace.last_heap_goal, -1)?,
            heap_goal: controller.word(pace.last_heap_goal)?,
            heap_live: controller.word(pace.heap_live)?,
            last_heap_scan: [
                controller.after(pace.heap_live, 2)?,
                controller.after(pace.last_stack_scan, -1)?,
            ],
            stack_scan: controller.word(pace.last_stack_scan)?,
            globals_scan: controller.word(pace.globals_scan)?,
            heap_marked: controller.word(pace.heap_marked)?,
            scan_work: [
                controller.after(pace.heap_marked, 1)?,
                controller.after(pace.heap_marked, 2)?,
                controller.after(pace.heap_marked, 3)?,
            ],
            assist: controller.word(pace.assist_time)?,
            dedicated: controller.after(pace.assist_time, 1)?,
            fractional: controller.after(pace.assist_time, 2)?,
            idle: controller.after(pace.assist_time, 3)?,
            mark_start: controller.after(pace.assist_time, 4)?,
            heap_in_use: controller.after(pace.total_alloc, -3)?,
            total_alloc: controller.word(pace.total_alloc)?,
            total_free: controller.after(pace.total_alloc, 1)?,
            mapped_ready: controller.after(pace.total_alloc, 2)?,
            numgc: low(counts),
            numforcedgc: low(counts >> 32),
            cpu_fraction: f64::from_bits(fraction),
            last_gc_nanotime: last_gc,
            pause_total: cycle.pause_total.0,
        })
    }

    /// Whether `runtime.GC` or the like asked for the cycle.
    pub(super) const fn is_forced(&self) -> bool {
        self.user_forced != 0
    }

    /// A time of the runtime's clock as one of the boot clock, by a moment at which both were read.
    pub(super) fn on_boot_clock(&self, read_at: Nanos, time: u64) -> Nanos {
        read_at.since(Nanos(self.monotonic.saturating_sub(time)))
    }
}

/// Words of a variable, from some byte of it on.
struct Words<'a> {
    of: &'static str,
    from: u32,
    words: &'a [u64],
}

impl Words<'_> {
    fn word(&self, offset: u32) -> Result<u64, Refusal> {
        let outside = Refusal::Outside { of: self.of, offset };
        let at = offset.checked_sub(self.from).filter(|at| at % 8 == 0);
        let index = at.and_then(|at| usize::try_from(at / 8).ok());
        index.and_then(|index| self.words.get(index)).copied().ok_or(outside)
    }

    /// So many words behind that one.
    fn after(&self, offset: u32, words: i32) -> Result<u64, Refusal> {
        let at = offset.checked_add_signed(8 * words);
        at.map_or(Err(Refusal::Outside { of: self.of, offset }), |at| self.word(at))
    }

    fn half(&self, offset: u32) -> Result<u32, Refusal> {
        let word = self.word(offset - offset % 8)?;
        match offset % 8 {
            0 => Ok(low(word)),
            4 => Ok(low(word >> 32)),
            _ => Err(Refusal::Outside { of: self.of, offset }),
        }
    }
}

/// The lower half.
fn low(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}
