//! The target's registers, as the kernel saved them.

use core::arch::asm;

use aya_ebpf::bindings::pt_regs;

/// The register of that number in x86-64 instruction encodings; zero for a number that there is not.
/// The offsets mirror `struct pt_regs` in arch/x86/include/asm/ptrace.h.
#[inline(always)]
pub(super) fn by_number(registers: *const pt_regs, number: u32) -> u64 {
    // Each load is written out: the verifier accepts constant offsets into the context only, and left to
    // itself the compiler folds the arms into one load at a computed offset. Reading the context with a
    // helper instead would fail on kernels locked down for confidentiality.
    macro_rules! at {
        ($offset:literal) => {{
            let value: u64;
            // SAFETY: `registers` is the program's context, which holds a word at this offset.
            unsafe {
                asm!(concat!("{value} = *(u64 *)({registers} + ", $offset, ")"),
                    value = out(reg) value, registers = in(reg) registers,
                    options(pure, readonly, nostack, preserves_flags));
            }
            value
        }};
    }
    match number {
        0 => at!(80),
        1 => at!(88),
        2 => at!(96),
        3 => at!(40),
        4 => at!(152),
        5 => at!(32),
        6 => at!(104),
        7 => at!(112),
        8 => at!(72),
        9 => at!(64),
        10 => at!(56),
        11 => at!(48),
        12 => at!(24),
        13 => at!(16),
        14 => at!(8),
        15 => at!(0),
        _ => 0,
    }
}
