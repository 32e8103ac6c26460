//! The main thread's changes of state, from the scheduler's tracepoints (include/trace/events/sched.h).

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use tracer_ebpf::{
    main_thread::{BLOCKED, MainThread, NONE, ON_CPU, RUNNABLE},
    wire::{account::WaitKind, syscall},
};

use super::{
    goroutine,
    main_thread::{self, now},
    registers::{self, Saved},
    wait,
};

/// `TASK_UNINTERRUPTIBLE` (include/linux/sched.h).
const UNINTERRUPTIBLE: u64 = 2;

/// `sched_switch(preempt, prev, next, prev_state)`, in the context of `prev`.
#[raw_tracepoint(tracepoint = "sched_switch")]
fn sched_switch(ctx: RawTracePointContext) -> i32 {
    let Some(main) = main_thread::get() else { return 0 };
    if main.task == 0 || main.over != 0 {
        return 0;
    }
    if ctx.arg::<u64>(1) == main.task {
        let preempted = ctx.arg::<u64>(0) & 0xff != 0;
        let state = ctx.arg::<u64>(3) & 0xffff_ffff;
        leave_cpu(main, if preempted { 0 } else { state });
    } else if ctx.arg::<u64>(2) == main.task {
        enter_cpu(main);
    }
    0
}

/// `sched_wakeup(p)`, in the context of whoever wakes it.
#[raw_tracepoint(tracepoint = "sched_wakeup")]
fn sched_wakeup(ctx: RawTracePointContext) -> i32 {
    let Some(main) = main_thread::get() else { return 0 };
    if main.task != 0 && ctx.arg::<u64>(0) == main.task && main.state == BLOCKED && main.over == 0 {
        end_wait(main, now());
        main.state = RUNNABLE;
    }
    0
}

#[inline(always)]
fn leave_cpu(main: &mut MainThread, task_state: u64) {
    let time = now();
    main.account.on_cpu += time - main.since;
    main.since = time;
    main.changes += 1;
    if task_state == 0 {
        main.state = RUNNABLE;
        return;
    }
    main.state = BLOCKED;
    let saved = registers::of_current();
    // A wait that is told when the system call returns is the sum of all that it made.
    if main.wait.duration == 0 {
        main.wait.start = time;
        main.wait.syscall = saved.syscall;
        main.wait.ip = saved.ip;
        main.wait.arguments = saved.arguments;
    }
    let (kind, reason) = why(main, &saved, task_state);
    main.wait.kind = kind as u32;
    main.wait.wait_reason = reason;
}

/// What it waits for, and `g.waitreason` when the main goroutine is parked.
#[inline(always)]
fn why(main: &MainThread, saved: &Saved, task_state: u64) -> (WaitKind, u32) {
    let none = NONE as u32;
    if saved.syscall == NONE {
        let kind = if task_state & UNINTERRUPTIBLE != 0 { WaitKind::PageFault } else { WaitKind::Other };
        return (kind, none);
    }
    let kind = syscall::wait_kind(saved.syscall);
    if kind as u32 != WaitKind::Futex as u32 {
        return (kind, none);
    }
    match goroutine::parked(main.g) {
        Some(reason) => (goroutine::wait_kind(reason), reason),
        None => (kind, none),
    }
}

#[inline(always)]
fn end_wait(main: &mut MainThread, time: u64) {
    let duration = time - main.since;
    if let Some(sum) = main.account.blocked.get_mut(main.wait.kind as usize) {
        *sum += duration;
    }
    main.wait.duration += duration;
    main.since = time;
    main.changes += 1;
}

#[inline(always)]
fn enter_cpu(main: &mut MainThread) {
    let time = now();
    if main.state == BLOCKED {
        // Its wake-up was before the probes were there.
        end_wait(main, time);
    } else {
        main.account.runnable += time - main.since;
        main.since = time;
        main.changes += 1;
    }
    main.state = ON_CPU;
    if main.wait.syscall == NONE {
        // Nothing returns from a page fault that a probe could see; whoever ran before is current still.
        wait::tell(main, false);
    }
}
