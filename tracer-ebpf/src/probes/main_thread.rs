//! The main thread's account, kept from one change of state to the next.

use core::{arch::asm, ptr::addr_of};

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{bpf_get_current_task, bpf_get_current_task_btf, bpf_ktime_get_boot_ns},
};
use tracer_ebpf::{
    main_thread::{ENDED, MainThread, ON_CPU},
    wire::account::Account,
};

use super::maps::{CONFIG, MAIN};

/// What is kept of it.
#[inline(always)]
pub(super) fn get() -> Option<&'static mut MainThread> {
    // SAFETY: the map's value lives as long as the program. Changes of state exclude each other: each happens
    // under the scheduler's lock of the CPU that the thread is on or comes to (kernel/sched/core.c); the
    // thread's own programs only read it, or write what no other writes.
    MAIN.get_ptr_mut(0).map(|main| unsafe { &mut *main })
}

/// Whether a thread with these ids (`bpf_get_current_pid_tgid`) is of the main thread's process. A process has its
/// main thread's id; before that one was met, nobody has.
#[inline(always)]
pub(super) fn is_process(main: &MainThread, ids: u64) -> bool {
    (ids >> 32) as u32 == main.pid_tgid as u32
}

/// The current task is the main thread. Starts its account at zero, now.
#[inline(always)]
pub(super) fn begin(main: &mut MainThread) {
    main.account = Account::default();
    // What the thread waited for before is not the program's.
    main.wait.duration = 0;
    main.state = ON_CPU;
    main.since = now();
    main.pid_tgid = bpf_get_current_pid_tgid();
    // SAFETY: the helper has no preconditions.
    main.task = unsafe { bpf_get_current_task() };
}

/// Closes the account of the main thread if the current task is it, which ends.
#[inline(always)]
pub(super) fn end(main: &mut MainThread) {
    if main.pid_tgid == bpf_get_current_pid_tgid() && main.over == 0 {
        main.account.on_cpu += now() - main.since;
        main.over = ENDED;
    }
}

/// Writes the account up to `time`, of the main thread itself or of another one of its process: once more when a
/// change of state came in between, which costs far more than the writing. `into` is room for it.
#[inline(always)]
pub(super) fn account(main: &MainThread, time: u64, into: *mut Account) {
    let before = changes(main);
    copy(main, time, into);
    if changes(main) != before {
        copy(main, now(), into);
    }
    // SAFETY: the caller's room, written above.
    unsafe { [(*into).minor_faults, (*into).major_faults] = faults() };
}

/// How many changes of state there were. For the compiler it may touch any memory, so that what is copied between two
/// of these is (the target has no fences).
#[inline(always)]
fn changes(main: &MainThread) -> u64 {
    let changes: u64;
    // SAFETY: reads a word, which the scheduler's probes may change.
    unsafe {
        asm!("{changes} = *(u64 *)({at} + 0)", at = in(reg) addr_of!(main.changes), changes = out(reg) changes,
            options(nostack, preserves_flags));
    }
    changes
}

/// Word by word, each read where it is and written where it goes: left to itself the compiler takes a copy on the stack
/// and, as it knows of nobody else, writes that once more instead of reading again.
#[inline(always)]
fn copy(main: &MainThread, time: u64, into: *mut Account) {
    let from = addr_of!(main.account).cast::<u64>();
    let to = into.cast::<u64>();
    for word in 0..size_of::<Account>() / size_of::<u64>() {
        // SAFETY: an account consists of so many words; `into` is the caller's room for one.
        unsafe { to.add(word).write(from.add(word).read_volatile()) };
    }
    // SAFETY: written above.
    unsafe { (*into).on_cpu += time - addr_of!(main.since).read_volatile() };
}

/// `min_flt` and `maj_flt` of the current task.
#[inline(always)]
fn faults() -> [u64; 2] {
    let offset = CONFIG.load().task_faults;
    if offset == 0 {
        return [u64::MAX; 2];
    }
    let (minor, major): (u64, u64);
    // The verifier knows the task's type and, as the configuration is constant, which of its fields these are. Written
    // out, so that the offset is added to the pointer and to nothing else first.
    // SAFETY: reads two words of the current task.
    unsafe {
        asm!("{task} += {offset}", "{minor} = *(u64 *)({task} + 0)", "{major} = *(u64 *)({task} + 8)",
            task = inout(reg) bpf_get_current_task_btf() => _, offset = in(reg) u64::from(offset),
            minor = out(reg) minor, major = out(reg) major,
            options(pure, readonly, nostack, preserves_flags));
    }
    [minor, major]
}

/// The boot clock.
#[inline(always)]
pub(super) fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
}
