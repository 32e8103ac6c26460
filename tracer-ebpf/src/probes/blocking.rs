//! Every system call of the target: how long, by which goroutine, from where.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use tracer_ebpf::wire::{
    Probe,
    account::Account,
    blocking::{Caller, Kind, Thread},
    process::{COMM_LEN, Exec},
    syscall::number,
};

use super::{
    caller::{thread, tid, who},
    class::Class,
    emit::announce,
    holder,
    main_thread::now,
    maps::{STOPNOTE, THREADS},
    network::{self, Met},
    registers,
    sums::{Of, Spent, account, is_telling, sum_brief},
    target,
};

const EAGAIN: i64 = -11;
const ETIMEDOUT: i64 = -110;
const EINPROGRESS: i64 = -115;

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
        network::give_up(&ctx, thread);
    }
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
        announce(Probe::Exec as u32, tid(), |header| Exec { header, comm, account: Account::default() });
    }
    0
}

#[inline(always)]
fn returned(ctx: &RawTracePointContext, thread: &mut Thread, time: u64, result: i64) {
    let saved = registers::of_current();
    let began_here = thread.entered != 0;
    let syscall = if began_here { thread.syscall } else { saved.syscall };
    let duration = if began_here { time - thread.entered } else { 0 };
    let caller = who(thread, saved.g);
    let stopnote = STOPNOTE.load();
    if stopnote != 0 && saved.arguments[0] == stopnote && syscall == number::FUTEX && result == ETIMEDOUT {
        let _ = holder::look_for_holder();
    }
    let is_goroutine = caller as u32 == Caller::Goroutine as u32;
    if is_goroutine {
        let goes_on = network::may_wait(thread.g) && !Class::of(syscall).is_the_runtimes(saved.arguments[2]);
        let blocks = matches!(result, EAGAIN | EINPROGRESS) && Class::of(syscall).may_block();
        if goes_on || blocks {
            let went_on = if began_here { thread.entered } else { time };
            let met = Met {
                syscall: syscall as u32,
                fd: saved.arguments[0] as u32,
                ends: if goes_on { went_on } else { 0 },
                begins: if blocks { time } else { 0 },
                arguments: saved.arguments,
            };
            network::meet(ctx, thread, &met);
        }
    }
    let spent = Spent { kind: Kind::Call, syscall: syscall as u32, duration, known: began_here };
    if is_telling(caller, &spent) || !sum_brief(caller, result, &spent) {
        account(ctx, &Of::new(thread, caller, result, saved.arguments), &spent);
    }
}
