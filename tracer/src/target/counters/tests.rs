mod pauses;

use std::cell::Cell;

use proptest::prelude::*;

use super::super::gobin::{GoVersion, VersionSource};
use super::*;
use crate::units::{RuntimeAddr, VirtAddr};

const WORK: u64 = 0x1000;
const CONTROLLER: u64 = 0x2000;
const STATS: u64 = 0x3000;
const SCHED: u64 = 0x10000;
const ALLGLEN: u64 = 0x7000;
const ALLP: u64 = 0x7100;
const PS: u64 = 0x7200;
const P: u64 = 0x8000;
const BIAS: u64 = 0x10_0000;

/// A program's memory from [`BIAS`] on, whose collector never rests, if `busy`.
struct Image {
    bytes: Vec<u8>,
    busy: bool,
    reads: Cell<u8>,
}

impl Memory for Image {
    fn read(&self, at: RuntimeAddr, into: &mut [u8]) -> io::Result<()> {
        self.reads.set(self.reads.get().wrapping_add(1));
        let from = at.0.checked_sub(BIAS).and_then(|from| usize::try_from(from).ok());
        let found = from.and_then(|from| self.bytes.get(from..from.checked_add(into.len())?));
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        if self.busy && into.len() == 24 {
            into[16] = into[16].wrapping_add(self.reads.get());
        }
        Ok(())
    }
}

fn places(version: &str) -> CounterPlaces {
    let version = GoVersion::parse(version, VersionSource::BuildInfo).unwrap();
    let sched = VirtAddr(SCHED);
    CounterPlaces {
        layout: CollectorLayout::of(&version).unwrap(),
        globals: CollectorGlobals {
            work: VirtAddr(WORK),
            controller: VirtAddr(CONTROLLER),
            memstats: VirtAddr(STATS),
            runtime_init_time: VirtAddr(0),
            holders: Err(CollectorRefusal::Global("runtime.sched")),
        },
        scheduler: Ok((
            SchedulerLayout::of(&version).unwrap(),
            SchedulerGlobals { sched, allglen: VirtAddr(ALLGLEN), allp: VirtAddr(ALLP) },
        )),
        pauses: PausesLayout::of(&version)
            .map(|layout| (layout, sched))
            .ok_or_else(|| CollectorRefusal::Layout(version.to_string())),
    }
}

impl Image {
    fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, busy: false, reads: Cell::new(0) }
    }

    /// A program between two cycles, with two Ps.
    fn at_rest(places: &CounterPlaces) -> Self {
        let mut image = Self::of(vec![0; 0x20000]);
        let (work, pace, stats) = (places.layout.work, places.layout.controller, places.layout.stats);
        let numgc = STATS + u64::from(stats.numgc);
        for (at, value) in [(0, 7), (4, 3)] {
            image.put(numgc + at, u32::to_le_bytes(value));
        }
        image.put(WORK + u64::from(work.cycles), u32::to_le_bytes(7));
        image.put(CONTROLLER, i32::to_le_bytes(100));
        let controller = |offset: u32| CONTROLLER + u64::from(offset);
        for (at, value) in [
            (numgc + 16, 5_000_000),
            (WORK + u64::from(work.t_sweep_term) + 24, 5_000_000),
            (STATS + u64::from(stats.pause_total_ns), 900),
            (WORK + u64::from(work.cpu_assist), 42),
            (controller(pace.memory_limit), i64::MAX.cast_unsigned()),
            (controller(pace.last_heap_goal - 24), 8 << 20),
            (controller(pace.last_heap_goal - 8), u64::MAX),
            (controller(pace.heap_live), 5 << 20),
            (controller(pace.heap_marked), 4 << 20),
            (controller(pace.total_alloc), 50 << 20),
            (controller(pace.total_alloc + 8), 45 << 20),
            (controller(pace.total_alloc + 16), 20 << 20),
            (ALLGLEN, 20),
            (ALLP, BIAS + PS),
            (ALLP + 8, 2),
            (ALLP + 16, 2),
            (PS, BIAS + P),
            (PS + 8, BIAS + P + 0x4000),
        ] {
            image.put(at, value.to_le_bytes());
        }
        let (scheduler, _) = places.scheduler.as_ref().unwrap();
        image.put(SCHED + u64::from(scheduler.ngsys), u32::to_le_bytes(5));
        image.put(SCHED + u64::from(scheduler.free), u32::to_le_bytes(2));
        image.put(P + u64::from(scheduler.free_of_p), u32::to_le_bytes(1));
        image.put(P + 0x4000 + u64::from(scheduler.free_of_p), u32::to_le_bytes(3));
        image
    }

    fn put<const SIZE: usize>(&mut self, at: u64, bytes: [u8; SIZE]) {
        let at = usize::try_from(at).unwrap();
        self.bytes[at..at + SIZE].copy_from_slice(&bytes);
    }
}

#[test]
fn what_the_runtime_notes_is_read() {
    for version in ["go1.21.13", "go1.23.9", "go1.25.5", "go1.27.3"] {
        let places = places(version);
        let read = Counters::read(&Image::at_rest(&places), BIAS, &places).unwrap();
        let expected = Counters {
            gc_cycles: 7,
            gc_forced: 3,
            gc_pause_ns_total: 900,
            gc_assist_ns_total: 42,
            heap_marked_bytes: 4 << 20,
            heap_live_bytes: 5 << 20,
            heap_goal_bytes: 8 << 20,
            allocated_bytes_total: 50 << 20,
            gc_percent: Some(100),
            memory_limit_bytes: None,
            goroutines: Some(20 - 5 - 2 - 1 - 3),
            gomaxprocs: Some(2),
        };
        assert_eq!(read, expected, "{version}");
    }
}

#[test]
fn goroutines_alone_may_be_unknown() {
    let mut places = places("go1.26.6");
    let mut image = Image::at_rest(&places);
    for (at, wrong) in [(ALLGLEN, 4), (ALLGLEN, 1 << 40), (ALLP + 8, 0), (ALLP + 8, 1 << 30), (ALLP, 0)] {
        let mut image = Image::at_rest(&places);
        image.put(at, u64::to_le_bytes(wrong));
        let read = Counters::read(&image, BIAS, &places).unwrap();
        assert_eq!((read.goroutines, read.gomaxprocs, read.gc_cycles), (None, None, 7), "{at:#x}");
    }
    // More on a P's list than it may have.
    image.put(P + 2472, u32::to_le_bytes(65));
    assert_eq!(Counters::read(&image, BIAS, &places).unwrap().goroutines, None);
    // A P that is nowhere.
    image.put(PS, u64::to_le_bytes(8));
    assert!(matches!(Counters::read(&image, BIAS, &places), Err(CounterError::Memory(_))));
    places.scheduler = Err(CollectorRefusal::Global("runtime.sched"));
    assert_eq!(Counters::read(&image, BIAS, &places).unwrap().goroutines, None);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let places = places("go1.24.11");
    let layout = places.layout;
    let numgc = STATS + u64::from(layout.stats.numgc);
    for (at, wrong) in [
        (numgc, 9_u64 << 32 | 7),
        (numgc, 5),
        (numgc + 16, 4_000_000),
        (CONTROLLER, 0xffff_fff0),
        (CONTROLLER + u64::from(layout.controller.memory_limit), u64::MAX),
        (CONTROLLER + u64::from(layout.controller.total_alloc), 1),
        (STATS + u64::from(layout.stats.pause_total_ns), 5_000_001),
    ] {
        let mut image = Image::at_rest(&places);
        image.put(at, wrong.to_le_bytes());
        let refused = Counters::read(&image, BIAS, &places);
        assert!(matches!(refused, Err(CounterError::Impossible(_))), "{at:#x}: {refused:?}");
    }
    let mut image = Image::at_rest(&places);
    image.busy = true;
    assert!(matches!(Counters::read(&image, BIAS, &places), Err(CounterError::Changing)));
}

/// `heapGoalInternal`'s cases.
#[test]
fn the_goal_is_what_go_makes_of_it() {
    let heap = goal::Heap {
        percent_goal: 100 << 20,
        sweep_trigger: 0,
        triggered: u64::MAX,
        marked: 50 << 20,
        memory_limit: i64::MAX.cast_unsigned(),
        free: 1 << 20,
        total_alloc: 90 << 20,
        total_free: 30 << 20,
        mapped_ready: 70 << 20,
    };
    assert_eq!(goal::of(&heap), Some(100 << 20));
    assert_eq!(goal::of(&goal::Heap { sweep_trigger: 101 << 20, ..heap }), Some(101 << 20));
    let triggered = goal::Heap { triggered: 100 << 20, ..heap };
    assert_eq!(goal::of(&triggered), Some((100 << 20) + (64 << 10)));
    // 9 MiB are none of the heap's: 81 MiB are left of 90, and 3 in 100 of them are headroom.
    let limited = goal::Heap { memory_limit: 90 << 20, ..heap };
    assert_eq!(goal::of(&limited), Some((81 << 20) - (81 << 20) / 100 * 3));
    assert_eq!(goal::of(&goal::Heap { memory_limit: 60 << 20, ..heap }), Some(50 << 20));
    assert_eq!(goal::of(&goal::Heap { memory_limit: 0, ..heap }), Some(50 << 20));
    assert_eq!(goal::of(&goal::Heap { mapped_ready: 60 << 20, ..heap }), None);
}

proptest! {
    #[test]
    fn any_memory_is_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0_u64..0x12000, version in 0_usize..4,
    ) {
        let places = places(["go1.21.13", "go1.23.9", "go1.25.5", "go1.27.3"][version]);
        let mut image = Image::at_rest(&places);
        for (index, byte) in bytes.iter().enumerate() {
            image.put(at + index as u64, [*byte]);
        }
        // Neither a panic nor figures that contradict each other.
        if let Ok(read) = Counters::read(&image, BIAS, &places) {
            prop_assert!(read.gc_forced <= read.gc_cycles);
            prop_assert!(read.goroutines.is_none_or(|goroutines| goroutines > 0));
        }
        if let Ok(Some(read)) = Pauses::read(&image, BIAS, &places) {
            prop_assert!(read.gc.count() <= read.gc.below(u64::MAX));
        }
    }
}
