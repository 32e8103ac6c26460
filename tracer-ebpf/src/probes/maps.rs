//! Every map and global, in one place.

use aya_ebpf::{
    Global,
    btf_maps::{Array, RingBuf},
    macros::btf_map,
};
use tracer_ebpf::{
    config::{Config, GoConfig},
    main_thread::MainThread,
    wire::{Probe, loss::Counters},
};

/// Set by user space before load.
#[unsafe(no_mangle)]
pub(super) static CONFIG: Global<Config> =
    Global::new(Config { pid_namespace_device: 0, pid_namespace_inode: 0, tgid: 0, task_faults: 0 });

/// Set by user space before load.
#[unsafe(no_mangle)]
pub(super) static GO: Global<GoConfig> = Global::new(GoConfig {
    network_reasons: 0,
    sleep_reasons: 0,
    gc_reasons: 0,
    slow_wait: 0,
    g_atomicstatus: 0,
    g_waitreason: 0,
    g_sched_pc: 0,
    g_sched_bp: 0,
    g_goid: 0,
    g_gopc: 0,
    reserved: 0,
    tell_writes: 0,
});

/// The way to user space, which sets the size. One ring, so that the records of a process stay in order.
#[btf_map]
pub(super) static EVENTS: RingBuf<[u8; 0], { 1 << 20 }> = RingBuf::new();

/// One probe's counters at its number. Shared by all CPUs: uprobe handlers can be preempted, so a per-CPU
/// counter could be torn, an atomic one cannot.
#[btf_map]
pub(super) static COUNTERS: Array<Counters, { Probe::ALL.len() }> = Array::new();

/// What is known of the target's main thread.
#[btf_map]
pub(super) static MAIN: Array<MainThread, 1> = Array::new();
