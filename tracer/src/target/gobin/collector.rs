//! Where the runtime's garbage collector keeps what it notes of its cycles: offsets by Go version.

use super::GoVersion;

/// Offsets in bytes, in `runtime.work`, `runtime.gcController` and `runtime.memstats` (runtime/mgc.go, mgcpacer.go,
/// mstats.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectorLayout {
    /// In `runtime.work`.
    pub work: WorkLayout,
    /// In `runtime.gcController`.
    pub controller: ControllerLayout,
    /// In `runtime.memstats`.
    pub stats: StatsLayout,
}

/// `runtime.workType`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkLayout {
    /// The first byte of it that is read for each cycle; a multiple of 8.
    pub from: u32,
    /// `userForced`, 1 byte.
    pub user_forced: u32,
    /// `cycles`, 4 bytes.
    pub cycles: u32,
    /// `stwprocs`, 4 bytes.
    pub stwprocs: u32,
    /// `maxprocs`, 4 bytes.
    pub maxprocs: u32,
    /// `tSweepTerm`, nanotime; `tMark`, `tMarkTerm`, `tEnd` follow.
    pub t_sweep_term: u32,
    /// `pauseNS`
    pub pause_ns: u32,
    /// `heap0`; `heap1` and `heap2` follow.
    pub heap0: u32,
    /// `cpuStats.GCAssistTime`; `GCDedicatedTime` and `GCIdleTime` follow. Sums since the program's start.
    pub cpu_assist: u32,
}

/// `runtime.gcControllerState`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerLayout {
    /// `gcPercent`, 4 bytes: GOGC; negative when it is off.
    pub gc_percent: u32,
    /// `memoryLimit`: GOMEMLIMIT.
    pub memory_limit: u32,
    /// `lastHeapGoal`
    pub last_heap_goal: u32,
    /// `heapLive`
    pub heap_live: u32,
    /// `lastStackScan`
    pub last_stack_scan: u32,
    /// `globalsScan`
    pub globals_scan: u32,
    /// `heapMarked`
    pub heap_marked: u32,
    /// `assistTime`; `dedicatedMarkTime`, `fractionalMarkTime` and `idleMarkTime` follow.
    pub assist_time: u32,
    /// `totalAlloc`
    pub total_alloc: u32,
}

/// `runtime.mstats`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsLayout {
    /// `pause_total_ns`
    pub pause_total_ns: u32,
    /// `numgc`, 4 bytes. `numforcedgc`, 4 bytes, `gc_cpu_fraction`, a float, and `last_gc_nanotime` follow.
    pub numgc: u32,
}

impl CollectorLayout {
    /// The layout of a Go version; none when it was not measured, or when experiments may have changed it.
    #[must_use]
    pub fn of(version: &GoVersion) -> Option<Self> {
        let _ = version;
        None
    }
}
