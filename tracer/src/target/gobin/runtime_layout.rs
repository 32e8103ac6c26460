//! Where the runtime's own structures keep what, by Go version (runtime/runtime2.go, mcache.go, mheap.go).
//!
//! The numbers were read from the DWARF of programs that each of these versions built; a test compares them
//! with the fixtures' own. Only fields that did not move between the patch releases of a version are here.

use super::GoVersion;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollLayout {
    /// `fd`
    pub fd: u32,
    /// `rg`: the goroutine that waits to read.
    pub rg: u32,
    /// `wg`: the goroutine that waits to write.
    pub wg: u32,
}

/// `runtime.m`. `g0` has always been its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PLayout {
    /// `status`, 4 bytes; 1 where it runs a goroutine.
    pub status: u32,
    /// `m`: the thread that runs with it.
    pub m: u32,
}

impl RuntimeLayout {
    /// The layout of a Go version; none when it was not measured, or when experiments may have changed it.
    #[must_use]
    pub fn of(version: &GoVersion) -> Option<Self> {
        if version.experiments().is_some() {
            return None;
        }
        let g = match version.minor() {
            19 => GLayout { lockedm: 232, parent: None, gopc: 296, startpc: 312, ..G_119 },
            21 | 22 => G_119,
            23 | 24 => GLayout {
                syscallbp: Some(128),
                atomicstatus: 152,
                goid: 160,
                waitsince: 176,
                waitreason: 184,
                lockedm: 216,
                parent: Some(280),
                gopc: 288,
                startpc: 304,
                ..G_119
            },
            25 => G_125,
            26 | 27 => GLayout { parent: Some(280), gopc: 288, startpc: 304, ..G_125 },
            _ => return None,
        };
        let m = match version.minor() {
            19..=24 => MLayout { procid: 72, curg: 192, p: 208, id: 232 },
            25 => MLayout { procid: 64, curg: 184, p: 200, id: 224 },
            _ => MLayout { procid: 64, curg: 184, p: 208, id: 232 },
        };
        // Go 1.23 put `sysmontick`'s fields into an order without padding.
        let p = PLayout { status: 4, m: if version.minor() <= 22 { 56 } else { 48 } };
        // Go 1.21 put `fdseq` behind the descriptor.
        let poll = match version.minor() {
            19 => PollLayout { fd: 8, rg: 24, wg: 32 },
            _ => PollLayout { fd: 8, rg: 32, wg: 40 },
        };
        Some(Self { g, m, p, poll })
    }
}

const G_119: GLayout = GLayout {
    m: 48,
    sched_sp: 56,
    sched_pc: 64,
    sched_bp: 104,
    syscallsp: 112,
    syscallpc: 120,
    syscallbp: None,
    atomicstatus: 144,
    goid: 152,
    waitsince: 168,
    waitreason: 176,
    lockedm: 208,
    parent: Some(272),
    gopc: 280,
    startpc: 296,
};

/// Go 1.25 took a word out of `gobuf`, before its `bp`.
const G_125: GLayout =
    GLayout { sched_bp: 96, syscallsp: 104, syscallpc: 112, syscallbp: Some(120), ..G_119 };
