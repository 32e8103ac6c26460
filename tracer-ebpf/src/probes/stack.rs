//! The numbers of stacks.

use aya_ebpf::{
    bindings::BPF_F_USER_STACK,
    programs::{RawTracePointContext, tracing::StackIdContext},
};

use super::{
    maps::{STACK_NUMBERS, STACKS},
    memory::read,
    registers,
};

/// Of the map of stacks: another stack is at the place that this one's hash gives it (kernel/bpf/stackmap.c).
const EEXIST: i32 = -17;

/// A stack with more frames is taken each time.
const MOST_FRAMES: u32 = 40;

/// The number of the current thread's user stack, or a negative error number.
///
/// The kernel walks along the frame pointers until one leads nowhere, which costs a page fault, Go's last being zero:
/// 0.7 µs of 1.4 on a virtual machine. So the way is first gone to that zero and no further, and the kernel is only
/// asked for the number of a stack that is new.
#[inline(always)]
pub(super) fn number(ctx: &RawTracePointContext) -> i64 {
    let saved = registers::of_current();
    let print = stack_fingerprint(saved.ip, saved.sp, saved.bp);
    if print != 0 {
        // SAFETY: the map's value lives as long as the program, and is never changed.
        if let Some(number) = STACK_NUMBERS.get_ptr(print) {
            return unsafe { *number };
        }
    }
    let number = taken(ctx);
    if print != 0 && number >= 0 {
        // Where there is no room, the next one is taken again.
        let _ = STACK_NUMBERS.insert(print, number, 0);
    }
    number
}

/// The number of the current user stack as the kernel takes it, or a negative error number. Where another stack has its
/// place, without the innermost frame, or two: those are the wrappers of the system call.
#[inline(always)]
pub(super) fn taken(ctx: &impl StackIdContext) -> i64 {
    let mut taken = Err(0);
    for skipped in 0..3 {
        taken = ctx.get_stackid(&STACKS, u64::from(BPF_F_USER_STACK) | skipped);
        if taken != Err(EEXIST) {
            break;
        }
    }
    match taken {
        Ok(number) => number,
        Err(error) => i64::from(error),
    }
}

/// 64 bits of every address of the stack; 0 when it does not end as Go's do, or is too deep. Two stacks out of ten
/// thousand have the same with a probability of 10⁻¹². A global function in the verifier's sense, of numbers only: it
/// is looked at once, and not for each way that leads here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stack_fingerprint(ip: u64, sp: u64, bp: u64) -> u64 {
    let (mut print, mut below, mut frame) = (mixed(0, ip), sp, bp);
    for _ in 0..MOST_FRAMES {
        if frame == 0 {
            return print;
        }
        // Frame pointers only grow on the way out.
        if frame < below {
            return 0;
        }
        let Some([next, address]) = read::<[u64; 2]>(frame) else { return 0 };
        print = mixed(print, address);
        below = frame;
        frame = next;
    }
    0
}

/// Both, each bit of either spread over all (the multipliers are those of MurmurHash3's finalizer).
#[inline(always)]
fn mixed(print: u64, address: u64) -> u64 {
    let address = address.wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (print ^ address ^ address >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ mixed >> 29
}
