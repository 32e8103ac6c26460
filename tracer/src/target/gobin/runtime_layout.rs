//! Where the runtime's own structures keep what, by Go version (runtime/runtime2.go, mcache.go, mheap.go).
//!
//! The numbers were read from the DWARF of programs that each of these versions built; a test compares them
//! with the fixtures' own.

use serde::{Deserialize, Serialize};

use super::offsets::{self, Layouts};
use super::{GoBinary, GoVersion};

/// The offsets of one Go version, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeLayout {
    /// `runtime.g`
    pub g: GLayout,
    /// `runtime.m`
    pub m: MLayout,
    /// `runtime.p`
    pub p: PLayout,
    /// `runtime.pollDesc`
    pub poll: PollLayout,
}

/// `runtime.g`. `stack.lo` and `stack.hi` have always been its first two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GLayout {
    /// `m`: the thread that runs it.
    pub m: u32,
    /// `sched.sp`: the stack pointer while it is parked.
    pub sched_sp: u32,
    /// `sched.pc`
    pub sched_pc: u32,
    /// `sched.bp`
    pub sched_bp: u32,
    /// `syscallsp`: not zero in a system call.
    pub syscallsp: u32,
    /// `syscallpc`
    pub syscallpc: u32,
    /// `syscallbp`; there from Go 1.23 on.
    pub syscallbp: Option<u32>,
    /// `atomicstatus`, 4 bytes.
    pub atomicstatus: u32,
    /// `goid`
    pub goid: u32,
    /// `waitsince`: nanotime, when the collector noted it.
    pub waitsince: u32,
    /// `waitreason`, 1 byte.
    pub waitreason: u32,
    /// `lockedm`: the thread that alone may run it, as main's during init.
    pub lockedm: u32,
    /// `parentGoid`: the goroutine that made it; there from Go 1.21 on.
    pub parent: Option<u32>,
    /// `gopc`: where the go statement is that made it.
    pub gopc: u32,
    /// `startpc`: the function it began in.
    pub startpc: u32,
}

/// `runtime.pollDesc`: a descriptor that the network poller watches (runtime/netpoll.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollLayout {
    /// `fd`
    pub fd: u32,
    /// `rg`: the goroutine that waits to read.
    pub rg: u32,
    /// `wg`: the goroutine that waits to write.
    pub wg: u32,
}

/// `runtime.m`. `g0` has always been its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MLayout {
    /// `procid`: the thread's id, as the thread's own PID namespace counts.
    pub procid: u32,
    /// `curg`: the goroutine that it runs.
    pub curg: u32,
    /// `p`
    pub p: u32,
    /// `id`
    pub id: u32,
}

/// `runtime.p`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PLayout {
    /// `status`, 4 bytes; 1 where it runs a goroutine.
    pub status: u32,
    /// `m`: the thread that runs with it.
    pub m: u32,
}

impl RuntimeLayout {
    /// What the table has of a Go version; none when it was not measured, or when experiments may have changed it.
    #[must_use]
    pub fn of(version: &GoVersion) -> Option<Self> {
        offsets::of(version).map(Layouts::runtime)
    }
}

impl GoBinary {
    /// The layout of its runtime; none when neither the table nor the program's debug information has it.
    #[must_use]
    pub fn runtime_layout(&self) -> Option<RuntimeLayout> {
        self.layouts().map(Layouts::runtime)
    }
}
