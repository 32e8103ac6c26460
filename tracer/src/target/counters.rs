//! What a running program's runtime counts of itself, read from its memory: no probe, nothing stopped, and the program
//! does nothing for it. A reading of [`Counters`] costs about a dozen system calls, and one for each P; one of [`Pauses`]
//! nine.

mod goal;
mod histogram;
mod notes;
mod pauses;
mod scheduled;

use std::io;
use std::thread;
use std::time::Duration;

use thiserror::Error;

use super::gobin::{
    CollectorGlobals, CollectorLayout, CollectorRefusal, GoBinary, PausesLayout, SchedulerGlobals,
    SchedulerLayout,
};
use super::memory::Memory;
use crate::units::VirtAddr;
pub use histogram::TimeHistogram;
use notes::Notes;
pub use pauses::Pauses;
use scheduled::Scheduled;

/// What the runtime counts. Each figure was true at some moment of the reading; those of the collector's cycles belong
/// together, unless the reading met the end of a cycle in its few microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Cycles of the garbage collector that are over, since the start: `MemStats.NumGC`, `/gc/cycles/total`.
    pub gc_cycles: u64,
    /// Those of them that the program asked for: `MemStats.NumForcedGC`.
    pub gc_forced: u64,
    /// For how long the collector had stopped the world, in nanoseconds: `MemStats.PauseTotalNs`.
    pub gc_pause_ns_total: u64,
    /// CPU time of goroutines that had to help the collector, in nanoseconds, as of the last cycle's end:
    /// `/cpu/classes/gc/mark/assist`.
    pub gc_assist_ns_total: u64,
    /// What the last cycle found alive, in bytes: `/gc/heap/live`.
    pub heap_marked_bytes: u64,
    /// That, and what was allocated since, as the pacer counts: spans are counted when a P takes them, before all of
    /// them is used. In bytes.
    pub heap_live_bytes: u64,
    /// How large the heap may become until a cycle is to be over, in bytes: `MemStats.NextGC`, `/gc/heap/goal`. As Go
    /// says it, near 2^63 when GOGC is off and there is no memory limit.
    pub heap_goal_bytes: u64,
    /// All that was ever allocated, in bytes, but for what the Ps have not counted yet of the spans that they use:
    /// `/gc/heap/allocs:bytes`.
    pub allocated_bytes_total: u64,
    /// GOGC, in percent; none when it is off.
    pub gc_percent: Option<u64>,
    /// GOMEMLIMIT, in bytes; none without one.
    pub memory_limit_bytes: Option<u64>,
    /// Goroutines, the runtime's own left out: `runtime.NumGoroutine`, which like this adds up what changes meanwhile
    /// (`/sched/goroutines` has the runtime's own in it from Go 1.26 on). None where [`CounterPlaces::scheduler`] is
    /// refused, before the runtime has begun, or when its counts contradict each other.
    pub goroutines: Option<u64>,
    /// GOMAXPROCS; none as with goroutines.
    pub gomaxprocs: Option<u64>,
}

/// Where a program keeps its counters. Found once for each binary: it decodes some functions.
#[derive(Clone, Debug)]
pub struct CounterPlaces {
    layout: CollectorLayout,
    globals: CollectorGlobals,
    /// Where goroutines are counted. A detail: without it all else is told.
    pub scheduler: Result<(SchedulerLayout, SchedulerGlobals), CollectorRefusal>,
    /// Where stops of the world are counted, in `runtime.sched`, which is there. A detail as well.
    pub pauses: Result<(PausesLayout, VirtAddr), CollectorRefusal>,
}

/// Why no counters were read.
#[derive(Debug, Error)]
pub enum CounterError {
    /// The process has ended, or may not be read.
    #[error("its memory cannot be read: {0}")]
    Memory(#[from] io::Error),
    /// Whenever it was read, it had changed by the time that all of it was.
    #[error("its runtime's notes changed whenever they were read")]
    Changing,
    /// The values cannot be what they are taken for.
    #[error("what is read as its runtime's notes cannot be them: {0}")]
    Impossible(&'static str),
}

impl CounterPlaces {
    /// Those of a binary.
    ///
    /// # Errors
    /// When the version's layout is not known, or the binary's code does not confirm it.
    pub fn of(binary: &GoBinary) -> Result<Self, CollectorRefusal> {
        let (layout, globals) = binary.collector()?;
        Ok(Self { layout, globals, scheduler: binary.scheduler(), pauses: binary.pauses() })
    }
}

/// A cycle's end takes microseconds, unless its thread has lost the processor in the middle of it.
const TRIES: usize = 8;
const PAUSE: Duration = Duration::from_micros(500);

impl Counters {
    /// Reads them from a process's memory; `bias` is by how much its addresses are larger than its binary's
    /// ([`super::process::Process::load_bias`]).
    ///
    /// # Errors
    /// When the memory cannot be read, or what is there cannot be what it is taken for.
    pub fn read(memory: &impl Memory, bias: u64, places: &CounterPlaces) -> Result<Self, CounterError> {
        let mut wrong = CounterError::Changing;
        for _ in 0..TRIES {
            match Notes::read(memory, bias, places) {
                Ok(notes) => return Ok(notes.counters(Scheduled::read(memory, bias, places)?)),
                Err(CounterError::Memory(error)) => return Err(error.into()),
                Err(error) => wrong = error,
            }
            thread::sleep(PAUSE);
        }
        Err(wrong)
    }
}

#[cfg(test)]
mod tests;
