//! What memory has at a goroutine's address.

use std::io;

use super::super::gobin::RuntimeLayout;
use super::super::memory::Memory;
use super::GoroutineStatus;
use crate::units::RuntimeAddr;

/// As much of `runtime.g` as any of the known fields needs.
pub(in super::super) const G_SIZE: usize = 320;

/// As much of a stack as is read at most: the innermost part, thousands of frames.
pub(in super::super) const MOST_STACK: u64 = 256 << 10;

/// Go's own limit (`runtime.maxstacksize`).
const LARGEST_STACK: u64 = 1 << 30;

/// A thread as the runtime knows it (`runtime.m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoThread {
    /// Its id, as the process itself counts.
    pub procid: u64,
    /// The runtime's own number of it, `m=` in dumps.
    pub id: u64,
}

/// The innermost part of a stack, as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackCopy {
    /// Where the innermost function is.
    pub pc: u64,
    /// The stack pointer there, and the address of the first of the bytes.
    pub sp: u64,
    /// What was there.
    pub bytes: Vec<u8>,
}

impl StackCopy {
    /// The word at that address, when it was copied.
    #[must_use]
    pub fn word(&self, at: u64) -> Option<u64> {
        let from = usize::try_from(at.checked_sub(self.sp)?).ok()?;
        self.bytes.get(from..from.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
    }
}

/// The registers that a goroutine has saved, from which it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Its next instruction.
    pub pc: u64,
    /// The stack pointer.
    pub sp: u64,
    /// The frame pointer; none in a system call up to Go 1.22, which did not save it there.
    pub bp: Option<u64>,
}

/// The bytes of a `runtime.g`, and where its fields are.
#[derive(Clone, Copy)]
pub(in super::super) struct Raw {
    pub(in super::super) bytes: [u8; G_SIZE],
    pub(in super::super) layout: RuntimeLayout,
}

impl Raw {
    pub(in super::super) fn read(memory: &impl Memory, at: u64, layout: RuntimeLayout) -> io::Result<Self> {
        let mut raw = Self { bytes: [0; G_SIZE], layout };
        memory.read(RuntimeAddr(at), &mut raw.bytes)?;
        Ok(raw)
    }

    /// Of bytes that were read before; none when they are too few.
    pub(in super::super) fn of(bytes: &[u8], layout: RuntimeLayout) -> Option<Self> {
        Some(Self { bytes: *bytes.first_chunk()?, layout })
    }

    pub(in super::super) fn word(&self, field: u32) -> u64 {
        let at = field as usize;
        self.bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
    }

    pub(in super::super) fn status(&self) -> u32 {
        let at = self.layout.g.atomicstatus as usize;
        self.bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
    }

    /// `g.waitreason`
    pub(in super::super) fn wait_reason(&self) -> u8 {
        self.bytes[self.layout.g.waitreason as usize]
    }

    /// `stack.lo` and `stack.hi`
    pub(in super::super) fn bounds(&self) -> (u64, u64) {
        (self.word(0), self.word(8))
    }

    pub(in super::super) fn is_main(&self, runtime_main: u64) -> bool {
        self.word(self.layout.g.goid) == 1
            && self.start() == runtime_main
            && GoroutineStatus::of(self.status()).is_some()
            // One that has ended has given its stack back.
            && (self.bounds() == (0, 0) || self.has_bounds())
    }

    /// Whether it has a stack that can be one.
    pub(in super::super) fn has_bounds(&self) -> bool {
        let (low, high) = self.bounds();
        let size = high.wrapping_sub(low);
        low < high && size.is_power_of_two() && size <= LARGEST_STACK
    }

    /// Where the function that it began in begins.
    pub(in super::super) fn start(&self) -> u64 {
        self.word(self.layout.g.startpc)
    }

    /// As it saved them: for its system call, when it is in one, else when it was last parked or preempted.
    pub(in super::super) fn registers(&self) -> Registers {
        let g = self.layout.g;
        let (pc, sp, bp) = if GoroutineStatus::of(self.status()) == Some(GoroutineStatus::Syscall) {
            (g.syscallpc, g.syscallsp, g.syscallbp)
        } else {
            (g.sched_pc, g.sched_sp, Some(g.sched_bp))
        };
        Registers { pc: self.word(pc), sp: self.word(sp), bp: bp.map(|bp| self.word(bp)) }
    }

    /// Whether its registers are saved, and not in a processor.
    pub(in super::super) fn has_stack(&self) -> bool {
        matches!(
            GoroutineStatus::of(self.status()),
            Some(
                GoroutineStatus::Runnable
                    | GoroutineStatus::Syscall
                    | GoroutineStatus::Waiting
                    | GoroutineStatus::Preempted
            )
        )
    }

    pub(in super::super) fn copy_stack(&self, memory: &impl Memory, most: u64) -> Option<StackCopy> {
        let Registers { pc, sp, .. } = self.registers();
        let (low, high) = self.bounds();
        if sp < low || sp >= high || !sp.is_multiple_of(8) {
            return None;
        }
        let mut bytes = vec![0; usize::try_from((high - sp).min(most)).ok()?];
        memory.read(RuntimeAddr(sp), &mut bytes).ok()?;
        Some(StackCopy { pc, sp, bytes })
    }

    /// The thread that runs it and says so itself; else the only one that may.
    pub(in super::super) fn thread(&self, memory: &impl Memory, at: u64) -> Option<GoThread> {
        let field = |m: u64, field: u32| memory.u64(RuntimeAddr(m.checked_add(u64::from(field))?)).ok();
        let m = self.layout.m;
        let running = Some(self.word(self.layout.g.m)).filter(|m| *m != 0);
        let running = running.filter(|thread| field(*thread, m.curg) == Some(at));
        let thread = running.or(Some(self.word(self.layout.g.lockedm)).filter(|m| *m != 0))?;
        let procid = field(thread, m.procid).filter(|procid| *procid != 0)?;
        Some(GoThread { procid, id: field(thread, m.id)? })
    }
}
