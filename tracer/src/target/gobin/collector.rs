//! Where the runtime's garbage collector keeps what it notes of its cycles: offsets by Go version, which a program's
//! own code must confirm.

mod globals;
mod proof;

pub use globals::{CollectorGlobals, CollectorRefusal, Holders};

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

/// `work`'s size, where in it `userForced` and `cycles` are, and how far behind `cycles` `heap0` is.
type Row = (u32, u32, u32, u32);

impl CollectorLayout {
    /// The layout of a Go version; none when it was not measured, or when experiments may have changed it.
    ///
    /// The numbers were read from the DWARF of programs that Go 1.21.13, 1.22.10, 1.23.1, 1.23.9, 1.24.3, 1.24.11,
    /// 1.25.0, 1.25.5, 1.26.0, 1.26.6, 1.27.0 and 1.27.3 built. Go 1.23.4 put `strongFromWeak` into `work`, before
    /// `cycles`. Other patch releases are taken for their neighbours: [`super::GoBinary::collector`] shows for each program
    /// whether its own code agrees.
    #[must_use]
    pub fn of(version: &GoVersion) -> Option<Self> {
        if version.experiments().is_some() {
            return None;
        }
        let row = match (version.minor(), version.patch()?) {
            // `pauseStart` was between `pauseNS` and `heap0`.
            (21, _) => (576, 344, 400, 64),
            (22, _) => (568, 344, 400, 56),
            (23, 0..=3) => (560, 336, 392, 56),
            (23 | 24, _) => (592, 336, 424, 56),
            (25, _) => (680, 400, 512, 56),
            (26 | 27, _) => (816, 536, 648, 56),
            _ => return None,
        };
        // Go 1.25 took `inPtrScalarBits` out of the heap's statistics.
        let (pause_total_ns, numgc) = if version.minor() < 25 { (3600, 7704) } else { (3576, 7680) };
        let stats = StatsLayout { pause_total_ns, numgc };
        Some(Self { work: WorkLayout::of(row), controller: CONTROLLER, stats })
    }
}

impl WorkLayout {
    fn of((size, user_forced, cycles, heap0): Row) -> Self {
        Self {
            // What is read ends with the variable.
            from: size - READ,
            user_forced,
            cycles,
            stwprocs: cycles + 4,
            maxprocs: cycles + 8,
            t_sweep_term: cycles + 16,
            pause_ns: cycles + 48,
            heap0: cycles + heap0,
            cpu_assist: cycles + heap0 + 24,
        }
    }
}

/// So many bytes of `work` are read.
const READ: u32 = 8 * tracer_ebpf::wire::gc::WORK_WORDS as u32;

/// Of Go 1.21 to 1.27.
const CONTROLLER: ControllerLayout = ControllerLayout {
    gc_percent: 0,
    memory_limit: 8,
    last_heap_goal: 96,
    heap_live: 104,
    last_stack_scan: 128,
    globals_scan: 144,
    heap_marked: 152,
    assist_time: 192,
    total_alloc: 296,
};

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
            assert_eq!(work.from % 8, 0, "{version}");
            assert!(within(WORK_WORDS, work.from, work.user_forced, 1), "{version}");
            assert!(within(WORK_WORDS, work.from, work.cpu_assist, 24), "{version}");
            assert!(within(CONTROLLER_WORDS, 0, controller.assist_time, 32), "{version}");
            assert!(within(CONTROLLER_WORDS, 0, controller.total_alloc, 8), "{version}");
            assert!(within(STATS_WORDS, stats.numgc, stats.numgc + 16, 8), "{version}");
        }
    }
}
