//! What the collector notes of its cycles and of the heap.

use super::super::memory::Memory;
use super::goal::{self, Heap};
use super::scheduled::Scheduled;
use super::{CounterError, CounterPlaces, Counters};
use crate::units::{RuntimeAddr, VirtAddr};

/// `maxUint64` less the sign: no memory limit (`math.MaxInt64`).
const NO_LIMIT: u64 = i64::MAX.cast_unsigned();

/// What is read, and belongs together.
pub(super) struct Notes {
    cycles: Cycles,
    pause_total: u64,
    assist: u64,
    gc_percent: i32,
    heap: Heap,
    live: u64,
    goal: u64,
}

/// What changes with each cycle's end, and begins and ends what `gcMarkTermination` writes then (runtime/mgc.go).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cycles {
    numgc: u32,
    forced: u32,
    last_gc: u64,
}

impl Notes {
    pub(super) fn read(
        memory: &impl Memory,
        bias: u64,
        places: &CounterPlaces,
    ) -> Result<Self, CounterError> {
        let (layout, globals) = (&places.layout, &places.globals);
        let at = |variable: VirtAddr, offset: u32| {
            RuntimeAddr(variable.0.wrapping_add(bias).wrapping_add(offset.into()))
        };
        let cycles = |memory: &_| Cycles::read(memory, at(globals.memstats, layout.stats.numgc));
        let before = cycles(memory)?;
        let pause_total = memory.u64(at(globals.memstats, layout.stats.pause_total_ns))?;
        let work = layout.work;
        let begun = memory.u32(at(globals.work, work.cycles))?;
        let t_end = memory.u64(at(globals.work, work.t_sweep_term + 24))?;
        let assist = memory.u64(at(globals.work, work.cpu_assist))?;
        // All of the controller at once: what the goal is made of changes with every span.
        let mut controller = [0; CONTROLLER];
        memory.read(at(globals.controller, 0), &mut controller)?;
        if cycles(memory)? != before {
            return Err(CounterError::Changing);
        }

        let pace = layout.controller;
        let word = |offset: u32| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let word = controller.get(from..from.saturating_add(8)).and_then(|word| word.try_into().ok());
            word.map(u64::from_le_bytes).ok_or(CounterError::Impossible("its layout is larger than it"))
        };
        let percent = word(pace.gc_percent - pace.gc_percent % 8)? & u64::from(u32::MAX);
        let gc_percent = u32::try_from(percent).unwrap_or(u32::MAX).cast_signed();
        let heap = Heap {
            percent_goal: word(pace.last_heap_goal - 24)?,
            sweep_trigger: word(pace.last_heap_goal - 16)?,
            triggered: word(pace.last_heap_goal - 8)?,
            marked: word(pace.heap_marked)?,
            memory_limit: word(pace.memory_limit)?,
            free: word(pace.total_alloc - 8)?,
            total_alloc: word(pace.total_alloc)?,
            total_free: word(pace.total_alloc + 8)?,
            mapped_ready: word(pace.total_alloc + 16)?,
        };
        before.check(begun, t_end, pause_total)?;
        let holds = |holds: bool, what| holds.then_some(()).ok_or(CounterError::Impossible(what));
        holds(gc_percent >= -1, "GOGC is below -1")?;
        holds(heap.memory_limit <= NO_LIMIT, "the memory limit is negative")?;
        holds(heap.total_free <= heap.total_alloc, "more was freed than allocated")?;
        Ok(Self {
            cycles: before,
            pause_total,
            assist,
            gc_percent,
            // Go reads these again, too, until they fit.
            goal: goal::of(&heap).ok_or(CounterError::Changing)?,
            live: word(pace.heap_live)?,
            heap,
        })
    }

    pub(super) fn counters(&self, scheduled: Option<Scheduled>) -> Counters {
        Counters {
            gc_cycles: self.cycles.numgc.into(),
            gc_forced: self.cycles.forced.into(),
            gc_pause_ns_total: self.pause_total,
            gc_assist_ns_total: self.assist,
            heap_marked_bytes: self.heap.marked,
            heap_live_bytes: self.live,
            heap_goal_bytes: self.goal,
            allocated_bytes_total: self.heap.total_alloc,
            gc_percent: u64::try_from(self.gc_percent).ok(),
            memory_limit_bytes: Some(self.heap.memory_limit).filter(|limit| *limit != NO_LIMIT),
            goroutines: scheduled.map(|scheduled| scheduled.goroutines),
            gomaxprocs: scheduled.map(|scheduled| scheduled.gomaxprocs),
        }
    }
}

impl Cycles {
    /// `numgc`, `numforcedgc`, `gc_cpu_fraction` and `last_gc_nanotime` follow each other.
    fn read(memory: &impl Memory, at: RuntimeAddr) -> Result<Self, CounterError> {
        let mut bytes = [0; 24];
        memory.read(at, &mut bytes)?;
        let half = |from: usize| bytes[from..from + 4].try_into().map_or(0, u32::from_le_bytes);
        let last_gc = bytes[16..].try_into().map_or(0, u64::from_le_bytes);
        Ok(Self { numgc: half(0), forced: half(4), last_gc })
    }

    /// The runtime notes twice which cycle it is and when the last one ended.
    fn check(self, begun: u32, t_end: u64, pause_total: u64) -> Result<(), CounterError> {
        let holds = |holds: bool, what| holds.then_some(()).ok_or(CounterError::Impossible(what));
        holds(begun.wrapping_sub(self.numgc) <= 1, "more cycles have begun than ended, or fewer")?;
        holds(self.forced <= self.numgc, "more cycles were forced than there were")?;
        holds(t_end == self.last_gc, "the last cycle ended at two times")?;
        holds(pause_total <= self.last_gc, "the pauses are longer than the time until the last one")?;
        holds(
            (self.numgc == 0) == (self.last_gc == 0),
            "a cycle is over and has no end, or the other way round",
        )
    }
}

/// `gcControllerState` up to `mappedReady`, and nothing behind it.
const CONTROLLER: usize = 320;
