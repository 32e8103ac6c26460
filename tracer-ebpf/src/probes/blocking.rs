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
    blocking::{Caller, Key, Kind, NO_STACK, NetworkWait, Slow, Stats, Thread, brief_index, bucket},
    process::{COMM_LEN, Exec},
    syscall::number,
};

use super::{
    emit::{self, emit},
    main_thread::now,
    maps::{BLOCKING, BRIEF, CALLS, EMPTY_STATS, NETWORK_WAITS, STACKS, THREADS, WAITING},
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
    if thread.syscall == number::CLOSE {
        give_up(&ctx, thread);
    }
    0
}

/// Who closes a descriptor has given up what it waited for; told before the descriptor is gone.
#[inline(always)]
fn give_up(ctx: &RawTracePointContext, thread: &mut Thread) {
    let saved = registers::of_current();
    let caller = who(thread, saved.g);
    if caller as u32 == Caller::Goroutine as u32 && may_wait(thread.g) {
        let until = thread.entered;
        end_network_wait(ctx, thread, NO_DESCRIPTOR, until, saved.arguments);
    }
}

/// No system call works on it.
const NO_DESCRIPTOR: u32 = u32::MAX;

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
    let caller = who(thread, saved.g);
    let is_goroutine = caller as u32 == Caller::Goroutine as u32;
    if is_goroutine && may_wait(thread.g) && !is_the_runtimes(syscall, saved.arguments[2]) {
        let until = if began_here { thread.entered } else { time };
        end_network_wait(ctx, thread, saved.arguments[0] as u32, until, saved.arguments);
    }
    let spent = Spent { kind: Kind::Call, syscall: syscall as u32, duration, known: began_here };
    if is_telling(caller, &spent) || !sum_brief(caller, result, &spent) {
        account(ctx, &Of::new(thread, caller, result, saved.arguments), &spent);
    }
    if is_goroutine && matches!(result, EAGAIN | EINPROGRESS) && object::may_block(syscall) {
        begin_network_wait(thread, time, syscall as u32, saved.arguments[0] as u32);
    }
}

/// Whether the stack is worth its cost. What the scheduler does between goroutines has one, but none that says more
/// than the call; a new thread is told with its origin, however fast it came.
#[inline(always)]
fn is_telling(caller: Caller, spent: &Spent) -> bool {
    spent.duration >= BLOCKING.load().stack_from && caller as u32 != Caller::Runtime as u32
        || makes_thread(spent)
}

#[inline(always)]
fn makes_thread(spent: &Spent) -> bool {
    matches!(u64::from(spent.syscall), number::CLONE | number::CLONE3)
}

/// Adds a call that took no stack to the sums. Returns whether there is a place for it.
#[inline(always)]
fn sum_brief(caller: Caller, result: i64, spent: &Spent) -> bool {
    let Some(index) = brief_index(u64::from(spent.syscall), spent.kind, caller) else { return false };
    let Some(stats) = BRIEF.get_ptr_mut(index) else { return false };
    // SAFETY: the map's value lives as long as the program.
    add(unsafe { &mut *stats }, result, spent);
    true
}

/// Whose a time is.
struct Of {
    caller: Caller,
    goid: u64,
    gopc: u64,
    result: i64,
    arguments: [u64; 3],
}

impl Of {
    /// Of a call that this thread has just made.
    #[inline(always)]
    fn new(thread: &mut Thread, caller: Caller, result: i64, arguments: [u64; 3]) -> Self {
        let is_goroutine = caller as u32 == Caller::Goroutine as u32;
        let (goid, gopc) = if is_goroutine { identify(thread) } else { (0, 0) };
        Self { caller, goid, gopc, result, arguments }
    }
}

/// A time, and what it was spent in.
struct Spent {
    kind: Kind,
    syscall: u32,
    duration: u64,
    /// Whether its beginning was seen.
    known: bool,
}

/// Who runs on the thread; leaves a goroutine's id and origin in `thread`.
#[inline(always)]
pub(super) fn caller(thread: &mut Thread, register: u64) -> Caller {
    let caller = who(thread, register);
    if caller as u32 == Caller::Goroutine as u32 {
        identify(thread);
    }
    caller
}

/// Who runs on the thread; leaves a goroutine's `g` in `thread`.
#[inline(always)]
fn who(thread: &mut Thread, register: u64) -> Caller {
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
    // The goroutine that made the last call made this one too when its g is in the register still: Go code keeps
    // its own there, and C code that keeps it was called by that goroutine.
    if thread.g != register || register == 0 || go.m_moves != 0 {
        thread.g = read::<u64>(thread.m + u64::from(go.m_curg)).unwrap_or(0);
    }
    if thread.g == 0 { Caller::Runtime } else { Caller::Goroutine }
}

/// The id of the goroutine that [`who`] found, and the address behind the go statement that made it.
#[inline(always)]
fn identify(thread: &mut Thread) -> (u64, u64) {
    let go = BLOCKING.load();
    let goid = read::<u64>(thread.g + u64::from(go.g_goid)).unwrap_or(0);
    if goid != thread.goid {
        thread.goid = goid;
        thread.gopc = read::<u64>(thread.g + u64::from(go.g_gopc)).unwrap_or(0);
    }
    (goid, thread.gopc)
}

/// Whether that is the current thread's `m`: it holds the thread's id, as the target's own PID namespace counts.
#[inline(always)]
fn is_m(m: u64) -> bool {
    let go = BLOCKING.load();
    m != 0 && read::<u64>(m + u64::from(go.m_procid)) == Some(u64::from(target::own_tid()))
}

/// The goroutine is parked in the network poller, until it makes its next system call.
#[inline(always)]
fn begin_network_wait(thread: &mut Thread, since: u64, syscall: u32, fd: u32) {
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

/// Ends the goroutine's wait in the network poller, if it was in one: it has just made a system call again. The
/// entry stays: the runtime uses its goroutines' `g` again.
#[inline(always)]
fn end_network_wait(
    ctx: &RawTracePointContext,
    thread: &mut Thread,
    fd: u32,
    until: u64,
    arguments: [u64; 3],
) {
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
        | number::RT_SIGRETURN
        // A socket enters the poller when connect(2) has said EINPROGRESS already (net/fd_unix.go, `netFD.connect`).
        | number::EPOLL_CTL
        | number::EPOLL_WAIT
        | number::EPOLL_PWAIT => true,
        // `netpollBreak` writes to its eventfd, or to its pipe (runtime/netpoll_epoll.go).
        number::WRITE => matches!(length, 1 | 8),
        _ => false,
    }
}

/// Whether the goroutine may be in the map of waits: most are not, and this is cheaper than to look.
#[inline(always)]
fn may_wait(g: u64) -> bool {
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

/// Adds a time to the sums, and tells it when it was long. A function of its own: twice its variables would not fit
/// into a program's 512 bytes of stack.
#[inline(never)]
fn account(ctx: &RawTracePointContext, of: &Of, spent: &Spent) {
    let config = BLOCKING.load();
    let of_runtime = of.caller as u32 == Caller::Runtime as u32;
    let is_telling = is_telling(of.caller, spent);
    let opened = object::of_descriptor(if is_telling { spent.syscall } else { u32::MAX }, of.arguments[0]);
    let stack = if is_telling {
        match ctx.get_stackid(&STACKS, u64::from(BPF_F_USER_STACK)) {
            Ok(number) => number,
            Err(error) => i64::from(error),
        }
    } else {
        NO_STACK
    };
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
    if let Some(count) = stats.histogram.get_mut(bucket(spent.duration)) {
        emit::add_word(count, 1);
    }
}
