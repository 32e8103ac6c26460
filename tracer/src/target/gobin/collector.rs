//! Where the runtime's garbage collector keeps what it notes of its cycles: offsets by Go version, which a program's
//! own code must confirm.

mod globals;
mod proof;

pub use globals::{CollectorGlobals, CollectorRefusal, Holders};

use serde::{Deserialize, Serialize};

use super::{GoVersion, offsets};

/// Offsets in bytes, in `runtime.work`, `runtime.gcController` and `runtime.memstats` (runtime/mgc.go, mgcpacer.go,
/// mstats.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectorLayout {
    /// In `runtime.work`.
    pub work: WorkLayout,
    /// In `runtime.gcController`.
    pub controller: ControllerLayout,
    /// In `runtime.memstats`.
    pub stats: StatsLayout,
}

/// `runtime.workType`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkLayout {
    /// `unsafe.Sizeof(workType{})`
    pub size: u32,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsLayout {
    /// `pause_total_ns`
    pub pause_total_ns: u32,
    /// `numgc`, 4 bytes. `numforcedgc`, 4 bytes, `gc_cpu_fraction`, a float, and `last_gc_nanotime` follow.
    pub numgc: u32,
}

impl CollectorLayout {
    /// What the table has of a Go version; none when it was not measured, or when experiments may have changed it. Releases that
    /// were not measured are taken for their neighbours: [`super::GoBinary::collector`] shows for each program whether
    /// its own code agrees.
    #[must_use]
    pub fn of(version: &GoVersion) -> Option<Self> {
        version.patch()?;
        offsets::of(version)?.collector()
    }
}

impl WorkLayout {
    /// The first byte of it that is read for each cycle: what is read ends with the variable.
    #[must_use]
    pub fn from(&self) -> u32 {
        self.size.saturating_sub(READ)
    }
}

/// So many bytes of `work` are read.
const READ: u32 = 8 * tracer_ebpf::wire::gc::WORK_WORDS as u32;

#[cfg(test)]
mod tests {
    use tracer_ebpf::wire::gc::{CONTROLLER_WORDS, STATS_WORDS, WORK_WORDS};

    use super::super::VersionSource;
    use super::*;

    fn of(version: &str) -> Option<CollectorLayout> {
        CollectorLayout::of(&GoVersion::parse(version, VersionSource::BuildInfo).unwrap())
    }

    #[test]
    fn only_what_was_measured_has_a_layout() {
        for known in
            ["go1.21.0", "go1.22", "go1.23.1", "go1.23.4", "go1.24.11", "go1.25.5", "go1.26.6", "go1.27"]
        {
            assert!(of(known).is_some(), "{known}");
        }
        for unknown in [
            "go1.19.8",
            "go1.20.14",
            "go1.28.0",
            "go1.21rc2",
            "go1.23.9 X:arenas",
            "go1.26.6-X:greenteagc",
            "devel go1.27-0123abc Mon Jan 1",
        ] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
        assert_ne!(of("go1.23.3"), of("go1.23.4"));
    }

    #[test]
    fn what_is_read_holds_every_field() {
        let within = |words: usize, from: u32, field: u32, size: u32| {
            from <= field && field + size <= from + 8 * u32::try_from(words).unwrap()
        };
        for version in ["go1.21.13", "go1.22.10", "go1.23.3", "go1.23.9", "go1.24.3", "go1.25.0", "go1.27.3"]
        {
            let CollectorLayout { work, controller, stats } = of(version).unwrap();
            assert_eq!(work.from() % 8, 0, "{version}");
            assert!(within(WORK_WORDS, work.from(), work.user_forced, 1), "{version}");
            assert!(within(WORK_WORDS, work.from(), work.cpu_assist, 24), "{version}");
            assert!(within(CONTROLLER_WORDS, 0, controller.assist_time, 32), "{version}");
            assert!(within(CONTROLLER_WORDS, 0, controller.total_alloc, 8), "{version}");
            assert!(within(STATS_WORDS, stats.numgc, stats.numgc + 16, 8), "{version}");
        }
    }
}
