//! All goroutines of a running program, read from its memory. It is never stopped: this is no picture of one
//! moment, but of each goroutine at one moment within the time that the reading took.
//!
//! What bounds it, whatever the program has in its memory: [`Limits`]. Goroutines at the same place are counted
//! together in a [`Group`], so a million that are alike cost the reading of their `runtime.g`, and little memory.

mod census;
mod list;
mod walk;

use super::gobin::ReasonKind;
pub use super::goroutine::{GoThread, GoroutineError, GoroutineStatus, Registers};
pub use super::unwind::CallStack;
use crate::units::{Nanos, RuntimeAddr};
pub use census::{Census, CensusPlaces};
pub use list::GoroutineList;

/// How much is read and told at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many entries of the runtime's list, dead goroutines too; those behind are counted in
    /// [`Goroutines::beyond`]. Each entry takes 8 bytes while it is read, and 320 bytes of the program's memory are
    /// looked at.
    pub listed: usize,
    /// So many goroutines are told one by one. When there are more, it is up to 1024 of each group; all of them
    /// are counted in their groups. Running ones and those in system calls come on top.
    pub told: usize,
    /// So many stacks are read, some of every group first.
    pub stacks: usize,
    /// So many groups; what is in none of them is counted by its status and wait reason only.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { listed: 8 << 20, told: 64 << 10, stacks: 16 << 10, groups: 16 << 10 }
    }
}

/// Every goroutine of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goroutines {
    /// Those that are told one by one, by their ids.
    pub all: Vec<Goroutine>,
    /// Those at the same place together, the most first: every goroutine that was read is in one of them.
    pub groups: Vec<Group>,
    /// Their stacks, each once.
    pub stacks: Vec<CallStack>,
    /// How many of the list have ended; the runtime keeps them to use again.
    pub dead: usize,
    /// How many of those told moved on whenever their stack was read, so it was not.
    pub changed: usize,
    /// How many of the list are not in readable memory, or are no goroutines.
    pub unreadable: usize,
    /// How many of the list were not looked at: it is longer than [`Limits::listed`].
    pub beyond: usize,
    /// When the reading began, on the boot clock.
    pub at: Nanos,
    /// How long it took.
    pub took: Nanos,
}

impl Goroutines {
    /// How many live goroutines were read.
    #[must_use]
    pub fn live(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// A goroutine's stack; none when it was not read.
    #[must_use]
    pub fn stack(&self, goroutine: &Goroutine) -> Option<&CallStack> {
        match goroutine.stack {
            StackRead::At(index) => self.stacks.get(index),
            _ => None,
        }
    }
}

/// Where goroutines are alike: what they do, who made them and where they are in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What they do.
    pub status: GoroutineStatus,
    /// What they wait for.
    pub wait: Option<WaitReason>,
    /// Behind the go statement that made them, as a return address; zero for the first of all, and where groups
    /// were too many to be told apart.
    pub created: RuntimeAddr,
    /// The function that they began in.
    pub start: RuntimeAddr,
    /// Their saved program counter; zero while they run. For waiting ones it is in `runtime.gopark`.
    pub pc: RuntimeAddr,
    /// How many bytes of their stack are in use; zero while they run. Different calls nearly always make it
    /// different; only [`Goroutine::stack`] proves which calls.
    pub depth: u64,
    /// Whether they are the runtime's own, as Go's dumps leave them out (`runtime.isSystemGoroutine`). Those that
    /// run finalizers and cleanups count as the program's where their stack was read and shows its code.
    pub system: bool,
}

/// Goroutines at the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The place.
    pub place: Place,
    /// How many are there.
    pub count: usize,
    /// How many of them are in [`Goroutines::all`].
    pub told: usize,
    /// The earliest [`Goroutine::wait_since`].
    pub oldest_wait: Option<u64>,
}

/// What a parked goroutine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitReason {
    /// `g.waitreason`, which means something for one Go version only.
    pub number: u8,
    /// The runtime's own words.
    pub text: &'static str,
    /// What it amounts to.
    pub kind: ReasonKind,
}

/// One goroutine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goroutine {
    /// Its id, as in Go's dumps.
    pub goid: u64,
    /// Where it is; [`Place::status`] is what it does.
    pub place: Place,
    /// Since when it waits, on the process's monotonic clock. Only the collector notes that, when it comes by
    /// and finds the goroutine waiting or in a system call: it began no later. None until then.
    pub wait_since: Option<u64>,
    /// The goroutine that made it; none for the first ones, and up to Go 1.20, which did not note it.
    pub parent: Option<u64>,
    /// The thread that runs it or is in its system call; of one that is locked to a thread, that.
    pub thread: Option<GoThread>,
    /// Whether it is locked to a thread (`runtime.LockOSThread`).
    pub locked: bool,
    /// What it goes on from; none while it runs.
    pub registers: Option<Registers>,
    /// Its stack.
    pub stack: StackRead,
    /// The descriptor for which the network poller has parked it; only told with a stack.
    pub polled_fd: Option<u64>,
}

/// Whether a stack was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackRead {
    /// It is [`Goroutines::stacks`] at that index.
    At(usize),
    /// Its registers are in a processor.
    Running,
    /// It was somewhere else whenever it was looked at.
    Changing,
    /// It is not in readable memory, or its registers point elsewhere.
    Unreadable,
    /// [`Limits::stacks`] others were.
    NotTried,
}

#[cfg(test)]
mod tests;
