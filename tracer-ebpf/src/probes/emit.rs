//! Records into the ring buffer, and an exact account of those that did not fit.

use core::{arch::asm, ptr, slice};

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::bpf_ktime_get_boot_ns,
    maps::ring_buf::RingBufEntry,
};
use tracer_ebpf::wire::Header;

use super::maps::{ASLEEP, COUNTERS, EVENTS};

/// Counts a hit of the probe and sends the record that `build` makes of its header, for the thread `tid`; counts it
/// as dropped when the ring is full.
#[inline(always)]
pub(super) fn emit<T: 'static>(probe: u32, tid: u32, build: impl FnOnce(Header) -> T) {
    if let Some((header, mut record)) = reserve(probe, tid) {
        record.write(build(header));
        submit(record);
    }
}

/// As [`emit`], for what user space cannot know to expect: whoever sleeps until something comes is woken, by an
/// interrupt of this CPU.
#[inline(always)]
pub(super) fn announce<T: 'static>(probe: u32, tid: u32, build: impl FnOnce(Header) -> T) {
    if let Some((header, mut record)) = reserve(probe, tid) {
        record.write(build(header));
        record.submit(u64::from(BPF_RB_FORCE_WAKEUP));
    }
}

/// As [`emit`], for records that are to be written where they are: what the room is reserved for must be written
/// whole, and submitted.
#[inline(always)]
pub(super) fn reserve<T: 'static>(probe: u32, tid: u32) -> Option<(Header, RingBufEntry<T>)> {
    // SAFETY: the helper has no preconditions.
    let time = unsafe { bpf_ktime_get_boot_ns() };
    let counters = COUNTERS.get_ptr_mut(probe)?;
    // SAFETY: the verifier proved `counters` non-null; the map's values live as long as the program.
    let (hits, dropped) = unsafe { (&raw mut (*counters).hits, &raw mut (*counters).dropped) };
    increment(hits);
    let record = EVENTS.reserve_untyped::<T>(0);
    if record.is_none() {
        increment(dropped);
    }
    Some((Header { time, probe, tid }, record?))
}

/// Sends a record. User space is not woken (that would cost the target more than the record): it drains on a timer.
#[inline(always)]
pub(super) fn submit<T>(record: RingBufEntry<T>) {
    record.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// As [`submit`], for what a program is followed by: user space that sleeps, because nothing came for long, is woken once.
#[inline(always)]
pub(super) fn submit_to_follower<T>(record: RingBufEntry<T>) {
    record.submit(wakes_sleeper());
}

/// How to send: waking who sleeps, which does not then.
#[inline(always)]
fn wakes_sleeper() -> u64 {
    if let Some(asleep) = ASLEEP.get_ptr_mut(0) {
        // SAFETY: the map's value lives as long as the program.
        unsafe {
            if *asleep != 0 {
                *asleep = 0;
                return u64::from(BPF_RB_FORCE_WAKEUP);
            }
        }
    }
    u64::from(BPF_RB_NO_WAKEUP)
}

/// Gives back the room for a record that could not be written, and counts it as dropped.
#[inline(always)]
pub(super) fn give_up<T>(probe: u32, record: RingBufEntry<T>) {
    record.discard(u64::from(BPF_RB_NO_WAKEUP));
    count_dropped(probe);
}

/// Sends the first `size` bytes of a record that is kept in a map; no more than it has. Wakes as [`submit_to_follower`]
/// does.
#[inline(always)]
pub(super) fn send<T>(probe: u32, record: &T, size: usize) {
    count(probe);
    // SAFETY: the caller's promise, which the verifier checks.
    let bytes = unsafe { slice::from_raw_parts(ptr::from_ref(record).cast::<u8>(), size) };
    if EVENTS.output_untyped::<[u8]>(bytes, wakes_sleeper()).is_err() {
        count_dropped(probe);
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
