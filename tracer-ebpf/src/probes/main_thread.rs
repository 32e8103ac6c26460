//! The main thread's account, kept from one change of state to the next.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{bpf_get_current_task, bpf_ktime_get_boot_ns, bpf_probe_read_kernel},
};
use tracer_ebpf::{
    main_thread::{ENDED, MainThread, ON_CPU},
    wire::account::Account,
};

use super::{
    maps::{CONFIG, MAIN},
    target,
};

/// What is kept of it.
#[inline(always)]
pub(super) fn get() -> Option<&'static mut MainThread> {
    // SAFETY: the map's value lives as long as the program. Changes of state exclude each other: each happens
    // under the scheduler's lock of the CPU that the thread is on or comes to (kernel/sched/core.c); the
    // thread's own programs only read it, or write what no other writes.
    MAIN.get_ptr_mut(0).map(|main| unsafe { &mut *main })
}

/// Whether the current task is the main thread. The first time, it is recognised by its ids.
#[inline(always)]
pub(super) fn is_current(main: &mut MainThread) -> bool {
    if main.task == 0 && target::is_current() {
        begin(main);
    }
    main.pid_tgid == bpf_get_current_pid_tgid()
}

/// Whether the current task belongs to the main thread's process.
#[inline(always)]
pub(super) fn is_process_current(main: &mut MainThread) -> bool {
    is_current(main) || main.task != 0 && main.pid_tgid as u32 == (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Starts the account at zero, now.
#[inline(always)]
pub(super) fn begin(main: &mut MainThread) {
    main.account = Account::default();
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

/// The account up to `time`, taken by the main thread itself: read again when a change of state came in
/// between, which costs far more than the reading.
#[inline(always)]
pub(super) fn account(main: &MainThread, time: u64) -> Account {
    let mut account = read(main, time);
    // SAFETY: a plain word that the scheduler's probes may change.
    let changes = || unsafe { read_volatile(addr_of!(main.changes)) };
    let before = changes();
    if account.changes != before {
        account = read(main, now());
    }
    let mut account = account.account;
    let faults = faults();
    account.minor_faults = faults[0];
    account.major_faults = faults[1];
    account
}

struct Reading {
    changes: u64,
    account: Account,
}

#[inline(always)]
fn read(main: &MainThread, time: u64) -> Reading {
    // SAFETY: as above.
    let changes = unsafe { read_volatile(addr_of!(main.changes)) };
    let mut account = main.account;
    account.on_cpu += time - main.since;
    Reading { changes, account }
}

/// `min_flt` and `maj_flt` of the current task.
#[inline(always)]
fn faults() -> [u64; 2] {
    const UNKNOWN: [u64; 2] = [u64::MAX; 2];
    let offset = CONFIG.load().task_faults;
    if offset == 0 {
        return UNKNOWN;
    }
    let mut faults = UNKNOWN;
    // SAFETY: the helper checks the address; the buffer is 16 bytes long.
    let result = unsafe {
        bpf_probe_read_kernel(
            (&raw mut faults).cast(),
            size_of::<[u64; 2]>() as u32,
            (bpf_get_current_task() + u64::from(offset)) as *const _,
        )
    };
    if result == 0 { faults } else { UNKNOWN }
}

/// The boot clock.
#[inline(always)]
pub(super) fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
}
