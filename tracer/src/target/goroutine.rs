//! The main goroutine of a running program, found and read in its memory.
//!
//! Nothing that is read is believed before it fits: the goroutine's number and the function it began in, its
//! thread's pointer back to it, its stack's bounds.

mod raw;

use std::io;

use thiserror::Error;

use super::gobin::{GoBinary, PollLayout, RuntimeLayout};
use super::memory::Memory;
pub(super) use raw::{G_SIZE, MOST_STACK, Raw};
pub use raw::{GoThread, Registers, StackCopy};

use crate::units::{RuntimeAddr, VirtAddr};

/// How far above the stack pointer of a goroutine that the network poller parked the poller's frames reach.
const POLLER_FRAMES: usize = 1024;

/// Why the main goroutine cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GoroutineError {
    /// The offsets of its fields were not measured.
    #[error("where {0} keeps what in its goroutines is not known")]
    Layout(String),
    /// None of the variables that could be the list of goroutines is.
    #[error("the runtime's list of goroutines was not found")]
    NoList,
    /// Two lists, and two first goroutines.
    #[error("more than one list of goroutines seems to be there")]
    Disagreement,
    /// It moves too fast to be read in one piece.
    #[error("it was never twice in the same place while it was read")]
    Moving,
    /// Something that it points to is not readable.
    #[error("its memory cannot be read")]
    Unreadable,
}

impl From<io::Error> for GoroutineError {
    fn from(_: io::Error) -> Self {
        Self::Unreadable
    }
}

/// What a goroutine is doing (runtime/runtime2.go, `_Gidle` and those behind it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GoroutineStatus {
    /// It waits for a processor.
    Runnable,
    /// It runs.
    Running,
    /// It is in a system call, or in C code.
    Syscall,
    /// It is parked.
    Waiting,
    /// It has ended.
    Dead,
    /// Its stack is being moved.
    Moving,
    /// It was stopped for the collector.
    Preempted,
}

impl GoroutineStatus {
    pub(super) fn of(number: u32) -> Option<Self> {
        // `_Gscan` is added while the collector looks at it.
        Some(match number & !0x1000 {
            1 => Self::Runnable,
            2 => Self::Running,
            3 => Self::Syscall,
            // From Go 1.26 on, one that waits for nothing that can ever come.
            4 | 10 => Self::Waiting,
            // From Go 1.26 on, those kept for threads of C code that may call Go have a number of their own.
            6 | 11 => Self::Dead,
            8 => Self::Moving,
            9 => Self::Preempted,
            _ => return None,
        })
    }

    /// In one word, as goroutine dumps have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Runnable => "runnable",
            Self::Running => "running",
            Self::Syscall => "syscall",
            Self::Waiting => "waiting",
            Self::Dead => "dead",
            Self::Moving => "copystack",
            Self::Preempted => "preempted",
        }
    }
}

/// The main goroutine at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goroutine {
    /// What it is doing.
    pub status: GoroutineStatus,
    /// `g.waitreason`; means something while it waits.
    pub wait_reason: u8,
    /// Since when it waits, on the process's monotonic clock: later than it began to, if anything. None where
    /// the collector has not come by to note it.
    pub wait_since: Option<u64>,
    /// The id of the thread that runs it, or that alone may, as the process itself counts.
    pub procid: Option<u64>,
    /// Its stack; none while it runs.
    pub stack: Option<StackCopy>,
    /// The descriptor for which the network poller has parked it.
    pub polled_fd: Option<u64>,
}

/// Where the main goroutine is, in one process.
#[derive(Clone, Copy, Debug)]
pub struct MainGoroutine {
    at: u64,
    layout: RuntimeLayout,
}

impl MainGoroutine {
    /// Finds it; none when the runtime has not made it yet. It is the first in the runtime's list of all, which
    /// never loses one.
    ///
    /// # Errors
    /// When the runtime's layout is not known, or its memory is not as expected.
    pub fn find(binary: &GoBinary, bias: u64, memory: &impl Memory) -> Result<Option<Self>, GoroutineError> {
        let layout =
            binary.runtime_layout().ok_or_else(|| GoroutineError::Layout(binary.version().to_string()))?;
        let main = binary.functions().named("runtime.main").ok_or(GoroutineError::NoList)?;
        let main = main.entry.0.wrapping_add(bias);
        let first = |place: VirtAddr| {
            let list = memory.u64(RuntimeAddr(place.0.wrapping_add(bias))).ok()?;
            memory.u64(RuntimeAddr(list)).ok()
        };
        let is_main = |g: &u64| Raw::read(memory, *g, layout).is_ok_and(|raw| raw.is_main(main));
        let candidates = binary.goroutine_list_candidates();
        let mut found: Vec<u64> = candidates.into_iter().filter_map(first).filter(is_main).collect();
        found.sort_unstable();
        found.dedup();
        match found[..] {
            [] => Ok(None),
            [at] => Ok(Some(Self { at, layout })),
            _ => Err(GoroutineError::Disagreement),
        }
    }

    /// Reads it. The process goes on meanwhile, so it is read until nothing has changed in between.
    ///
    /// # Errors
    /// When it moves too fast, or is not readable.
    pub fn read(&self, memory: &impl Memory) -> Result<Goroutine, GoroutineError> {
        /// So often that only one that runs all the time is missed.
        const TRIES: usize = 16;
        let mut last = Err(GoroutineError::Moving);
        for _ in 0..TRIES {
            let before = Raw::read(memory, self.at, self.layout)?;
            // A stack that is moved or unmapped meanwhile is not readable, which is no error.
            let stack = if before.has_stack() { before.copy_stack(memory, MOST_STACK) } else { None };
            let procid = before.thread(memory, self.at).map(|thread| thread.procid);
            let polled_fd =
                stack.as_ref().and_then(|stack| polled_fd(memory, self.layout.poll, self.at, stack));
            let after = Raw::read(memory, self.at, self.layout)?;
            if before.bytes != after.bytes {
                continue;
            }
            let status = GoroutineStatus::of(before.status()).ok_or(GoroutineError::Unreadable)?;
            // On its way from one status to the next, unless the process is stopped just there.
            let passing = status == GoroutineStatus::Moving || before.has_stack() != stack.is_some();
            last = Ok(Goroutine {
                status,
                wait_reason: before.wait_reason(),
                wait_since: Some(before.word(self.layout.g.waitsince)).filter(|since| *since != 0),
                procid,
                stack,
                polled_fd: polled_fd.filter(|_| status == GoroutineStatus::Waiting),
            });
            if !passing {
                break;
            }
        }
        last
    }
}

/// The descriptor for which the network poller has parked the goroutine at that address.
///
/// The poller's frames hold the addresses of the descriptor's `pollDesc` and of the field in it that it is
/// to be found by, and that field names the goroutine (runtime/netpoll.go, `poll_runtime_pollWait`,
/// `netpollblock`).
pub(super) fn polled_fd(
    memory: &impl Memory,
    poll: PollLayout,
    goroutine: u64,
    stack: &StackCopy,
) -> Option<u64> {
    let words = stack.bytes.chunks_exact(8).take(POLLER_FRAMES / 8);
    let words: Vec<u64> = words.map(|word| word.try_into().map_or(0, u64::from_le_bytes)).collect();
    let mut sorted = words.clone();
    sorted.sort_unstable();
    let names_us = |field: &u64| memory.u64(RuntimeAddr(*field)).is_ok_and(|g| g == goroutine);
    let mut found = words
        .iter()
        .filter(|desc| desc.is_multiple_of(8))
        .filter(|desc| {
            let fields = [poll.rg, poll.wg].map(|field| desc.wrapping_add(u64::from(field)));
            fields.iter().any(|field| sorted.binary_search(field).is_ok() && names_us(field))
        })
        .filter_map(|desc| memory.u64(RuntimeAddr(desc.wrapping_add(u64::from(poll.fd)))).ok())
        .filter(|fd| i32::try_from(*fd).is_ok());
    let fd = found.next()?;
    found.all(|other| other == fd).then_some(fd)
}

#[cfg(test)]
mod tests;
