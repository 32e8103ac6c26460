//! Records into the ring buffer, and an exact account of those that did not fit.

use core::arch::asm;

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_ktime_get_boot_ns},
};
use tracer_ebpf::wire::Header;

use super::maps::{COUNTERS, EVENTS};

/// Counts a hit of the probe and sends the record that `build` makes of its header; counts it as dropped when
/// the ring is full. User space is never woken (that would cost the target more than the record): it drains
/// on a timer.
#[inline(always)]
pub(super) fn emit<T: 'static>(probe: u32, build: impl FnOnce(Header) -> T) {
    let tid = bpf_get_current_pid_tgid() as u32;
    emit_in_place(probe, tid, |header, record: *mut T| {
        let built = build(header);
        // SAFETY: `record` is room for one.
        unsafe { record.write(built) };
    });
}

/// As [`emit`], for records that are too large for the stack: `fill` writes the whole record where it is, for
/// the thread `tid`.
#[inline(always)]
pub(super) fn emit_in_place<T: 'static>(probe: u32, tid: u32, fill: impl FnOnce(Header, *mut T)) {
    // SAFETY: the helper has no preconditions.
    let time = unsafe { bpf_ktime_get_boot_ns() };
    let Some(counters) = COUNTERS.get_ptr_mut(probe) else { return };
    // SAFETY: the verifier proved `counters` non-null; the map's values live as long as the program.
    let hits = unsafe { &raw mut (*counters).hits };
    increment(hits);
    if let Some(mut record) = EVENTS.reserve_untyped::<T>(0) {
        fill(Header { time, probe, tid }, record.as_mut_ptr());
        record.submit(u64::from(BPF_RB_NO_WAKEUP));
    } else {
        // SAFETY: as above.
        let dropped = unsafe { &raw mut (*counters).dropped };
        increment(dropped);
    }
}

/// Counts a hit that is only summed up.
#[inline(always)]
pub(super) fn count(probe: u32) {
    let Some(counters) = COUNTERS.get_ptr_mut(probe) else { return };
    // SAFETY: as above.
    increment(unsafe { &raw mut (*counters).hits });
}

/// Counts that a hit, counted by [`count`], could not be summed up.
#[inline(always)]
pub(super) fn count_dropped(probe: u32) {
    let Some(counters) = COUNTERS.get_ptr_mut(probe) else { return };
    // SAFETY: as above.
    increment(unsafe { &raw mut (*counters).dropped });
}

/// Counts a hit that no record tells of.
#[inline(always)]
pub(super) fn lose(probe: u32) {
    let Some(counters) = COUNTERS.get_ptr_mut(probe) else { return };
    // SAFETY: as above.
    let (hits, dropped) = unsafe { (&raw mut (*counters).hits, &raw mut (*counters).dropped) };
    increment(hits);
    increment(dropped);
}

/// Adds one, atomically.
#[inline(always)]
fn increment(counter: *mut u64) {
    add(counter, 1);
}

/// Adds to a counter, atomically. Core's atomics have no addition for this target, whose oldest CPU version lacks
/// the variants that return a value; the one that does not has always been there (BPF_XADD).
#[inline(always)]
pub(super) fn add(counter: *mut u64, number: u64) {
    // SAFETY: `counter` points to an aligned word in a map value; every writer adds atomically.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {number}", counter = in(reg) counter, number = in(reg) number);
    }
}

/// As [`add`], to a counter of 32 bits.
#[inline(always)]
pub(super) fn add_word(counter: *mut u32, number: u32) {
    // SAFETY: as above.
    unsafe {
        asm!("lock *(u32 *)({counter} + 0) += {number}",
            counter = in(reg) counter, number = in(reg) u64::from(number));
    }
}
