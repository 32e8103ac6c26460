//! The target's registers, as the kernel saved them.

use core::arch::asm;

use aya_ebpf::{
    bindings::pt_regs,
    helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
};
use tracer_ebpf::main_thread::NONE;

// Each load is written out: the verifier accepts constant offsets into the context only, and left to itself
// the compiler folds a match's arms into one load at a computed offset. Reading the context with a helper
// instead would fail on kernels locked down for confidentiality.
macro_rules! load {
    ($registers:expr, $offset:literal) => {{
        let value: u64;
        // SAFETY: `registers` is a `struct pt_regs` of the kernel's, which holds a word at this offset.
        unsafe {
            asm!(concat!("{value} = *(u64 *)({registers} + ", $offset, ")"),
                value = out(reg) value, registers = in(reg) $registers,
                options(pure, readonly, nostack, preserves_flags));
        }
        value
    }};
}

/// What the current task's user-mode registers tell, as its present entry into the kernel saved them.
pub(super) struct Saved {
    /// The system call's number, or [`NONE`]: `orig_ax` is -1 on every other way into the kernel.
    pub(super) syscall: u64,
    /// Its first three arguments.
    pub(super) arguments: [u64; 3],
    /// Its fourth.
    pub(super) fourth: u64,
    /// Its fifth: mmap's descriptor.
    pub(super) fd: u64,
    /// Its sixth.
    pub(super) sixth: u64,
    pub(super) ip: u64,
    pub(super) sp: u64,
    pub(super) bp: u64,
    /// R14, in which Go code keeps its `g` (cmd/compile/abi-internal.md).
    pub(super) g: u64,
}

/// Where they are.
#[inline(always)]
pub(super) fn current() -> *const pt_regs {
    // SAFETY: the helpers have no preconditions; the current task is a user-mode one wherever this is called.
    unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as *const pt_regs }
}

/// The system call's number alone. The offsets mirror `struct pt_regs` in arch/x86/include/asm/ptrace.h.
#[inline(always)]
pub(super) fn syscall(registers: *const pt_regs) -> u64 {
    let syscall = load!(registers, 120);
    if (syscall as i64) < 0 { NONE } else { syscall }
}

/// Reads them.
#[inline(always)]
pub(super) fn of_current() -> Saved {
    saved(current())
}

/// Reads them. The offsets are those above.
#[inline(always)]
pub(super) fn saved(registers: *const pt_regs) -> Saved {
    Saved {
        syscall: syscall(registers),
        arguments: [load!(registers, 112), load!(registers, 104), load!(registers, 96)],
        fourth: load!(registers, 56),
        fd: load!(registers, 72),
        sixth: load!(registers, 64),
        ip: load!(registers, 128),
        sp: load!(registers, 152),
        bp: load!(registers, 32),
        g: load!(registers, 8),
    }
}

/// The address of the instruction. The offset is that above.
#[inline(always)]
pub(super) fn instruction(registers: *const pt_regs) -> u64 {
    load!(registers, 128)
}

/// The register of that number in x86-64 instruction encodings; zero for a number that there is not.
/// The offsets are those above.
#[inline(always)]
pub(super) fn by_number(registers: *const pt_regs, number: u32) -> u64 {
    match number {
        0 => load!(registers, 80),
        1 => load!(registers, 88),
        2 => load!(registers, 96),
        3 => load!(registers, 40),
        4 => load!(registers, 152),
        5 => load!(registers, 32),
        6 => load!(registers, 104),
        7 => load!(registers, 112),
        8 => load!(registers, 72),
        9 => load!(registers, 64),
        10 => load!(registers, 56),
        11 => load!(registers, 48),
        12 => load!(registers, 24),
        13 => load!(registers, 16),
        14 => load!(registers, 8),
        15 => load!(registers, 0),
        _ => 0,
    }
}
