//! Waits in Go's network poller, which no system call shows: from the one that would have blocked to the same
//! goroutine's next.

use aya_ebpf::programs::RawTracePointContext;
use tracer_ebpf::wire::{
    Probe,
    blocking::{Caller, Kind, NetworkWait, Thread},
    syscall::number,
};

use super::{
    caller::{identify, who},
    emit,
    maps::{NETWORK_WAITS, WAITING},
    registers,
    sums::{Of, Spent, account, is_telling, sum_brief},
};

/// What a goroutine's system call tells of its waits.
pub(super) struct Met {
    pub(super) syscall: u32,
    /// The descriptor that it works on.
    pub(super) fd: u32,
    /// Since when the goroutine goes on; 0 when it does not say.
    pub(super) ends: u64,
    /// When the call said that it would have blocked, and the goroutine was parked; 0 when it did not.
    pub(super) begins: u64,
    pub(super) arguments: [u64; 3],
}

/// Ends the wait that the goroutine was in, and begins its next: with one look at the map for both. An entry stays when
/// its wait is over, for the runtime uses its goroutines' `g` again.
#[inline(always)]
pub(super) fn meet(ctx: &RawTracePointContext, thread: &mut Thread, met: &Met) {
    let (goid, _) = identify(thread);
    let known = NETWORK_WAITS.get_ptr_mut(thread.g);
    // SAFETY: the map's value lives as long as the program; only this goroutine's calls change it.
    let was = known.map(|known| unsafe { *known }).unwrap_or_default();
    let next = NetworkWait { since: met.begins, goid, syscall: met.syscall, fd: met.fd };
    match known {
        // SAFETY: as above.
        Some(known) => unsafe { *known = next },
        None if next.since == 0 => return,
        None if NETWORK_WAITS.insert(thread.g, next, 0).is_ok() => {}
        None => return emit::lose(Probe::NetworkWait as u32),
    }
    if was.since == 0 && next.since != 0 {
        waiting(thread.g, 1);
    } else if was.since != 0 && next.since == 0 {
        waiting(thread.g, u64::MAX);
    }
    // Else nothing was waited for, or another goroutine that had the same g ended in its wait.
    if met.ends != 0 && was.since != 0 && was.goid == goid {
        let kind = if was.fd == met.fd { Kind::NetworkWait } else { Kind::NoRetry };
        let duration = if met.ends > was.since { met.ends - was.since } else { 0 };
        let spent = Spent { kind, syscall: was.syscall, duration, known: true };
        if is_telling(Caller::Goroutine, &spent) || !sum_brief(Caller::Goroutine, 0, &spent) {
            let arguments = [u64::from(was.fd), met.arguments[1], met.arguments[2]];
            account(ctx, &Of::new(thread, Caller::Goroutine, 0, arguments), &spent);
        }
    }
}

/// Who closes a descriptor has given up what it waited for; told before the descriptor is gone.
#[inline(always)]
pub(super) fn give_up(ctx: &RawTracePointContext, thread: &mut Thread) {
    let saved = registers::of_current();
    let caller = who(thread, saved.g);
    if caller as u32 == Caller::Goroutine as u32 && may_wait(thread.g) {
        let (ends, arguments) = (thread.entered, saved.arguments);
        let met = Met { syscall: number::CLOSE as u32, fd: NO_DESCRIPTOR, ends, begins: 0, arguments };
        meet(ctx, thread, &met);
    }
}

/// No system call works on it.
const NO_DESCRIPTOR: u32 = u32::MAX;

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
