//! Waits in Go's network poller, which no system call shows: from the one that would have blocked to the same
//! goroutine's next.

use aya_ebpf::programs::RawTracePointContext;
use tracer_ebpf::wire::{
    Probe,
    blocking::{Caller, Kind, NetworkWait, Thread},
};

use super::{
    caller::{identify, who},
    emit,
    maps::{NETWORK_WAITS, WAITING},
    registers,
    sums::{Of, Spent, account, is_telling, sum_brief},
};

/// The goroutine is parked in the network poller, until it makes its next system call.
#[inline(always)]
pub(super) fn begin(thread: &mut Thread, since: u64, syscall: u32, fd: u32) {
    let (goid, _) = identify(thread);
    let wait = NetworkWait { since, goid, syscall, fd };
    let was = match NETWORK_WAITS.get_ptr_mut(thread.g) {
        // SAFETY: the map's value lives as long as the program; only this goroutine's calls change it.
        Some(known) => unsafe { core::mem::replace(&mut *known, wait).since },
        None if NETWORK_WAITS.insert(thread.g, wait, 0).is_ok() => 0,
        None => return emit::lose(Probe::NetworkWait as u32),
    };
    // One that had the same g ended in its wait.
    if was == 0 {
        waiting(thread.g, 1);
    }
}

/// Who closes a descriptor has given up what it waited for; told before the descriptor is gone.
#[inline(always)]
pub(super) fn give_up(ctx: &RawTracePointContext, thread: &mut Thread) {
    let saved = registers::of_current();
    let caller = who(thread, saved.g);
    if caller as u32 == Caller::Goroutine as u32 && may_wait(thread.g) {
        let until = thread.entered;
        end(ctx, thread, NO_DESCRIPTOR, until, saved.arguments);
    }
}

/// No system call works on it.
const NO_DESCRIPTOR: u32 = u32::MAX;

/// Ends the goroutine's wait in the network poller, if it was in one: it has just made a system call again. The
/// entry stays: the runtime uses its goroutines' `g` again.
#[inline(always)]
pub(super) fn end(ctx: &RawTracePointContext, thread: &mut Thread, fd: u32, until: u64, arguments: [u64; 3]) {
    let Some(known) = NETWORK_WAITS.get_ptr_mut(thread.g) else { return };
    // SAFETY: the map's value lives as long as the program; only this goroutine's calls change it.
    let wait = unsafe { *known };
    if wait.since == 0 {
        return;
    }
    // SAFETY: as above.
    unsafe { (*known).since = 0 };
    waiting(thread.g, u64::MAX);
    // Else another goroutine that had the same g ended in its wait.
    if wait.goid == identify(thread).0 {
        let kind = if wait.fd == fd { Kind::NetworkWait } else { Kind::NoRetry };
        let duration = if until > wait.since { until - wait.since } else { 0 };
        let spent = Spent { kind, syscall: wait.syscall, duration, known: true };
        if is_telling(Caller::Goroutine, &spent) || !sum_brief(Caller::Goroutine, 0, &spent) {
            let arguments = [u64::from(wait.fd), arguments[1], arguments[2]];
            account(ctx, &Of::new(thread, Caller::Goroutine, 0, arguments), &spent);
        }
    }
}

/// Whether the goroutine may be in the map of waits: most are not, and this is cheaper than to look.
#[inline(always)]
pub(super) fn may_wait(g: u64) -> bool {
    let index = slot(g);
    // SAFETY: the map's value lives as long as the program.
    WAITING.get_ptr(index).is_some_and(|count| unsafe { *count } != 0)
}

/// Counts a wait that begins (1), or ends (-1).
#[inline(always)]
fn waiting(g: u64, change: u64) {
    let index = slot(g);
    if let Some(count) = WAITING.get_ptr_mut(index) {
        emit::add(count, change);
    }
}

/// A `g` is larger than 256 bytes, and lies on a multiple of some power of two.
#[inline(always)]
fn slot(g: u64) -> u32 {
    (((g >> 6) ^ (g >> 18)) % WAITING_SLOTS) as u32
}

/// How many counters [`WAITING`] has.
pub(super) const WAITING_SLOTS: u64 = 4096;
