//! The sums of system calls and waits, and the record of a long one.

use aya_ebpf::{EbpfContext as _, bindings::bpf_raw_tracepoint_args, programs::RawTracePointContext};
use tracer_ebpf::wire::{
    Probe,
    blocking::{BUCKETS, Caller, Key, Kind, NO_STACK, Slow, Stats, Thread, brief_index, bucket},
    syscall::number,
};

use super::{
    caller::{identify, tid},
    class::Class,
    emit,
    maps::{BLOCKING, BRIEF, CALLS, EMPTY_STATS},
    object,
    opaque::opaque,
    stack,
};

/// The error numbers of system calls (include/linux/err.h, `MAX_ERRNO`).
const LARGEST_ERROR: i64 = -4095;

/// Whose a time is.
pub(super) struct Of {
    pub(super) caller: Caller,
    pub(super) goid: u64,
    pub(super) gopc: u64,
    pub(super) result: i64,
    pub(super) arguments: [u64; 3],
}

impl Of {
    /// Of a call that this thread has just made.
    #[inline(always)]
    pub(super) fn new(thread: &mut Thread, caller: Caller, result: i64, arguments: [u64; 3]) -> Self {
        let is_goroutine = caller as u32 == Caller::Goroutine as u32;
        let (goid, gopc) = if is_goroutine { identify(thread) } else { (0, 0) };
        Self { caller, goid, gopc, result, arguments }
    }
}

/// A time, and what it was spent in.
pub(super) struct Spent {
    pub(super) kind: Kind,
    pub(super) syscall: u32,
    pub(super) duration: u64,
    /// Whether its beginning was seen.
    pub(super) known: bool,
}

/// Whether the stack is worth its cost. What the scheduler does between goroutines has one, but none that says more
/// than the call; a new thread is told with its origin, however fast it came.
#[inline(always)]
pub(super) fn is_telling(caller: Caller, spent: &Spent) -> bool {
    spent.duration >= BLOCKING.load().stack_from && caller as u32 != Caller::Runtime as u32
        || makes_thread(spent)
}

#[inline(always)]
fn makes_thread(spent: &Spent) -> bool {
    matches!(u64::from(spent.syscall), number::CLONE | number::CLONE3)
}

/// Adds a call that took no stack to the sums. Returns whether there is a place for it.
#[inline(always)]
pub(super) fn sum_brief(caller: Caller, result: i64, spent: &Spent) -> bool {
    let Some(index) = brief_index(u64::from(spent.syscall), spent.kind, caller) else { return false };
    let Some(stats) = BRIEF.get_ptr_mut(index) else { return false };
    // SAFETY: the map's value lives as long as the program.
    add(unsafe { &mut *stats }, result, spent);
    true
}

/// Adds a time to the sums, and tells it when it was long.
#[inline(always)]
pub(super) fn account(ctx: &RawTracePointContext, of: &Of, spent: &Spent) {
    sum_and_tell(ctx.as_ptr().cast(), of, spent);
}

/// A function of its own: twice its variables would not fit into a program's 512 bytes of stack. And a global one in the
/// verifier's sense, which looks at it once and not for each way that leads here. That knows nothing of what it is given,
/// and wants to see that the pointers are none of nothing; what is returned says nothing.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sum_and_tell(ctx: *mut bpf_raw_tracepoint_args, of: *const Of, spent: *const Spent) -> u64 {
    // SAFETY: both are the caller's, and last as long as the call.
    let (Some(of), Some(spent)) = (unsafe { of.as_ref() }, unsafe { spent.as_ref() }) else { return 0 };
    let ctx = &RawTracePointContext::new(ctx.cast());
    let config = BLOCKING.load();
    let of_runtime = of.caller as u32 == Caller::Runtime as u32;
    let is_telling = is_telling(of.caller, spent);
    let opened = object::of_descriptor(
        if is_telling { Class::of(u64::from(spent.syscall)) } else { Class::NONE },
        of.arguments[0],
    );
    let stack = if is_telling { stack::number(ctx) } else { NO_STACK };
    let key = Key {
        stack,
        gopc: if is_telling { of.gopc } else { 0 },
        syscall: spent.syscall,
        kind: spent.kind as u32,
        caller: of.caller as u32,
        object: if is_telling { opened.file_type() } else { 0 },
    };
    sum(&key, of, spent);
    if spent.duration >= config.slow && !of_runtime {
        if let Some((header, mut room)) = emit::reserve::<Slow>(Probe::Slow as u32, tid()) {
            let record = room.as_mut_ptr();
            // SAFETY: `record` is room for one in the ring buffer, all of which is written.
            let record = unsafe { &mut *record };
            record.header = header;
            record.duration = spent.duration;
            record.key = key;
            record.goid = of.goid;
            record.result = of.result as u64;
            record.arguments = of.arguments;
            opened.describe(&mut record.object);
            emit::submit_to_follower(room);
        }
    }
    0
}

#[inline(always)]
fn sum(key: &Key, of: &Of, spent: &Spent) {
    let mut found = CALLS.get_ptr_mut(key);
    if found.is_none() {
        if let Some(empty) = EMPTY_STATS.get(0) {
            // Another processor may be faster; then there is one already.
            let _ = CALLS.insert(key, empty, 1);
        }
        found = CALLS.get_ptr_mut(key);
    }
    let Some(stats) = found else { return emit::lose(Probe::Summed as u32) };
    // SAFETY: the map's value lives as long as the program.
    add(unsafe { &mut *stats }, of.result, spent);
}

/// Adds a time to a sum.
#[inline(always)]
fn add(stats: &mut Stats, result: i64, spent: &Spent) {
    if !spent.known {
        emit::add(&raw mut stats.joined, 1);
        return;
    }
    emit::add(&raw mut stats.count, 1);
    emit::add(&raw mut stats.total, spent.duration);
    // What a signal's handler returns to is no result.
    let has_result = spent.syscall != number::RT_SIGRETURN as u32;
    if result < 0 && result >= LARGEST_ERROR && has_result {
        emit::add(&raw mut stats.errors, 1);
    }
    if spent.duration > stats.longest {
        stats.longest = spent.duration;
    }
    note(&mut stats.histogram, spent.duration);
}

/// Counts a duration.
#[inline(always)]
pub(super) fn note(histogram: &mut [u32; BUCKETS], duration: u64) {
    // Before Linux 6.5 the verifier does not see by itself that it is one of them.
    let index = opaque(bucket(duration) as u64) as usize % BUCKETS;
    if let Some(count) = histogram.get_mut(index) {
        emit::add_word(count, 1);
    }
}
