//! Every system call of the target: how long, by which goroutine, from where; and the waits in the network poller,
//! which no system call shows.

use aya_ebpf::{
    bindings::BPF_F_USER_STACK,
    helpers::bpf_get_current_pid_tgid,
    macros::raw_tracepoint,
    programs::{RawTracePointContext, tracing::StackIdContext as _},
};
use tracer_ebpf::wire::{
    Probe,
    account::Account,
    blocking::{Caller, Key, Kind, NO_STACK, NetworkWait, Slow, Thread, bucket},
    process::{COMM_LEN, Exec},
    syscall::number,
};

use super::{
    emit::{self, emit},
    main_thread::now,
    maps::{BLOCKING, CALLS, EMPTY_STATS, NETWORK_WAITS, STACKS, THREADS, WAITING},
    memory::read,
    object, registers, target,
};

const EAGAIN: i64 = -11;
const EINPROGRESS: i64 = -115;
/// The error numbers of system calls (include/linux/err.h, `MAX_ERRNO`).
const LARGEST_ERROR: i64 = -4095;

/// `sys_enter(regs, id)`
#[raw_tracepoint(tracepoint = "sys_enter")]
fn blocking_enter(ctx: RawTracePointContext) -> i32 {
    if !target::is_current() {
        return 0;
    }
    let Some(thread) = thread() else { return 0 };
    thread.syscall = ctx.arg(1);
    thread.entered = now();
    0
}

/// `sys_exit(regs, ret)`
#[raw_tracepoint(tracepoint = "sys_exit")]
fn blocking_exit(ctx: RawTracePointContext) -> i32 {
    if !target::is_current() {
        return 0;
    }
    let Some(thread) = thread() else { return 0 };
    let time = now();
    let result: u64 = ctx.arg(1);
    returned(&ctx, thread, time, result as i64);
    thread.entered = 0;
    0
}

/// Runs once for every thread that ends.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn blocking_thread_exit(_ctx: RawTracePointContext) -> i32 {
    if target::is_current() {
        let _ = THREADS.remove(tid());
    }
    0
}

/// The process becomes another program: nothing that is known of it holds any more.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn blocking_exec(_ctx: RawTracePointContext) -> i32 {
    if target::is_current() {
        let comm = aya_ebpf::helpers::bpf_get_current_comm().unwrap_or([0; COMM_LEN]);
        emit(Probe::Exec as u32, tid(), |header| Exec { header, comm, account: Account::default() });
    }
    0
}

#[inline(always)]
fn tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// What is kept of the current thread; none, and counted, when there are more threads than are kept.
#[inline(always)]
pub(super) fn thread() -> Option<&'static mut Thread> {
    let tid = tid();
    if let Some(thread) = THREADS.get_ptr_mut(tid) {
        // SAFETY: the map's value lives as long as the program, and only its own thread's programs write it.
        return Some(unsafe { &mut *thread });
    }
    let _ = THREADS.insert(tid, Thread::default(), 0);
    let thread = THREADS.get_ptr_mut(tid);
    if thread.is_none() {
        emit::lose(Probe::Summed as u32);
    }
    // SAFETY: as above.
    thread.map(|thread| unsafe { &mut *thread })
}

#[inline(always)]
fn returned(ctx: &RawTracePointContext, thread: &mut Thread, time: u64, result: i64) {
    let saved = registers::of_current();
    let began_here = thread.entered != 0;
    let syscall = if began_here { thread.syscall } else { saved.syscall };
    let duration = if began_here { time - thread.entered } else { 0 };
    let caller = caller(thread, saved.g);
    let goid = if caller as u32 == Caller::Goroutine as u32 { thread.goid } else { 0 };
    let fd = saved.arguments[0] as u32;
    let of = Of {
        caller,
        gopc: if goid == 0 { 0 } else { thread.gopc },
        goid,
        result,
        arguments: saved.arguments,
    };

    if goid != 0 && may_wait(goid) && !is_the_runtimes(syscall, saved.arguments[2]) {
        let until = if began_here { thread.entered } else { time };
        end_network_wait(ctx, goid, fd, until, &of);
    }
    let kind = Kind::Call;
    account(ctx, &of, &Spent { kind, syscall: syscall as u32, duration, known: began_here });
    if goid != 0 && matches!(result, EAGAIN | EINPROGRESS) && object::may_block(syscall) {
        let wait = NetworkWait { since: time, syscall: syscall as u32, fd };
        if NETWORK_WAITS.insert(goid, wait, 0).is_ok() {
            waiting(goid, 1);
        } else {
            emit::lose(Probe::NetworkWait as u32);
        }
    }
}

/// Whose a time is.
struct Of {
    caller: Caller,
    goid: u64,
    gopc: u64,
    result: i64,
    arguments: [u64; 3],
}

/// A time, and what it was spent in.
struct Spent {
    kind: Kind,
    syscall: u32,
    duration: u64,
    /// Whether its beginning was seen.
    known: bool,
}

/// Who made the system call; of a goroutine, leaves its id and origin in `thread`.
#[inline(always)]
pub(super) fn caller(thread: &mut Thread, register: u64) -> Caller {
    let go = BLOCKING.load();
    if go.m_curg == 0 {
        return Caller::Unknown;
    }
    if thread.m != 0 && go.m_moves != 0 && !is_m(thread.m) {
        thread.m = 0;
    }
    if thread.m == 0 {
        // Go code keeps g in a register; whatever is in it is only believed when it leads back to this thread.
        let Some(m) = read::<u64>(register + u64::from(go.g_m)) else { return Caller::Unknown };
        if !is_m(m) {
            return Caller::Unknown;
        }
        thread.m = m;
    }
    let g = read::<u64>(thread.m + u64::from(go.m_curg)).unwrap_or(0);
    if g == 0 {
        return Caller::Runtime;
    }
    let Some(goid) = read::<u64>(g + u64::from(go.g_goid)) else { return Caller::Unknown };
    if goid != thread.goid {
        thread.goid = goid;
        thread.gopc = read::<u64>(g + u64::from(go.g_gopc)).unwrap_or(0);
    }
    Caller::Goroutine
}

/// Whether that is the current thread's `m`: it holds the thread's id, as the target's own PID namespace counts.
#[inline(always)]
fn is_m(m: u64) -> bool {
    let go = BLOCKING.load();
    m != 0 && read::<u64>(m + u64::from(go.m_procid)) == Some(u64::from(target::own_tid()))
}

/// Ends the goroutine's wait in the network poller, if it was in one: it has just made a system call again.
#[inline(always)]
fn end_network_wait(ctx: &RawTracePointContext, goid: u64, fd: u32, until: u64, of: &Of) {
    let Some(wait) = NETWORK_WAITS.get_ptr(goid) else { return };
    // SAFETY: the map's value lives as long as the program; only this goroutine's calls change it.
    let wait = unsafe { *wait };
    let kind = if wait.fd == fd { Kind::NetworkWait } else { Kind::NoRetry };
    let duration = if until > wait.since { until - wait.since } else { 0 };
    let arguments = [u64::from(wait.fd), of.arguments[1], of.arguments[2]];
    let of = Of { caller: Caller::Goroutine, result: 0, arguments, ..*of };
    account(ctx, &of, &Spent { kind, syscall: wait.syscall, duration, known: true });
    if NETWORK_WAITS.remove(goid).is_ok() {
        waiting(goid, u64::MAX);
    }
}

/// Whether the runtime itself makes such calls in a goroutine's name: to wake threads, for memory, for its timers.
/// They do not tell that the goroutine has gone on from its wait, for it is the runtime that wakes it.
#[inline(always)]
fn is_the_runtimes(syscall: u64, length: u64) -> bool {
    match syscall {
        number::FUTEX
        | number::MMAP
        | number::MUNMAP
        | number::MPROTECT
        | number::MADVISE
        | number::NANOSLEEP
        | number::SCHED_YIELD
        | number::GETPID
        | number::GETTID
        | number::TGKILL
        | number::CLONE
        | number::CLONE3
        | number::RT_SIGACTION
        | number::RT_SIGPROCMASK
        | number::SIGALTSTACK
        | number::PRCTL
        | number::EPOLL_WAIT
        | number::EPOLL_PWAIT => true,
        // `netpollBreak` writes to its eventfd, or to its pipe (runtime/netpoll_epoll.go).
        number::WRITE => matches!(length, 1 | 8),
        _ => false,
    }
}

/// Whether the goroutine may be in the map of waits: most are not, and this is cheaper than to look.
#[inline(always)]
fn may_wait(goid: u64) -> bool {
    let index = (goid % WAITING_SLOTS) as u32;
    // SAFETY: the map's value lives as long as the program.
    WAITING.get_ptr(index).is_some_and(|count| unsafe { *count } != 0)
}

/// Counts a wait that begins (1), or ends (-1).
#[inline(always)]
fn waiting(goid: u64, change: u64) {
    let index = (goid % WAITING_SLOTS) as u32;
    if let Some(count) = WAITING.get_ptr_mut(index) {
        emit::add(count, change);
    }
}

/// How many counters [`WAITING`] has.
pub(super) const WAITING_SLOTS: u64 = 4096;

/// Adds a time to the sums, and tells it when it was long. A function of its own: twice its variables would not fit
/// into a program's 512 bytes of stack.
#[inline(never)]
fn account(ctx: &RawTracePointContext, of: &Of, spent: &Spent) {
    let config = BLOCKING.load();
    let of_runtime = of.caller as u32 == Caller::Runtime as u32;
    // What the scheduler does between goroutines has a stack, but none that says more than the call.
    let long = spent.duration >= config.stack_from && !of_runtime;
    let opened = object::of_descriptor(if long { spent.syscall } else { u32::MAX }, of.arguments[0]);
    // A new thread is told with its origin, however fast it came.
    let wants_stack = long || matches!(u64::from(spent.syscall), number::CLONE | number::CLONE3);
    let stack = if wants_stack {
        match ctx.get_stackid(&STACKS, u64::from(BPF_F_USER_STACK)) {
            Ok(number) => number,
            Err(error) => i64::from(error),
        }
    } else {
        NO_STACK
    };
    let key = Key {
        stack,
        gopc: of.gopc,
        syscall: spent.syscall,
        kind: spent.kind as u32,
        caller: of.caller as u32,
        object: if long { opened.file_type() } else { 0 },
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
            emit::submit(room);
        }
    }
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
    let stats = unsafe { &mut *stats };
    if !spent.known {
        emit::add(&raw mut stats.joined, 1);
        return;
    }
    emit::add(&raw mut stats.count, 1);
    emit::add(&raw mut stats.total, spent.duration);
    // What a signal's handler returns to is no result.
    let has_result = spent.syscall != number::RT_SIGRETURN as u32;
    if of.result < 0 && of.result >= LARGEST_ERROR && has_result {
        emit::add(&raw mut stats.errors, 1);
    }
    if spent.duration > stats.longest {
        stats.longest = spent.duration;
    }
    if let Some(count) = stats.histogram.get_mut(bucket(spent.duration)) {
        emit::add_word(count, 1);
    }
}
