//! What keeps the compiler from being clever.

use core::arch::asm;

/// The same value, which the compiler knows nothing of: it neither turns arithmetic into branches then nor
/// unrolls loops until the stack is full. The verifier sees through it.
#[inline(always)]
pub(super) fn opaque(value: u64) -> u64 {
    let same: u64;
    // A real instruction: of none at all there would be two lines at one place, which the kernel refuses.
    // SAFETY: copies one register to another.
    unsafe {
        asm!("{same} = {value}", same = lateout(reg) same, value = in(reg) value,
            options(pure, nomem, nostack, preserves_flags));
    }
    same
}
