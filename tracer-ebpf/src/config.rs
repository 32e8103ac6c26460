//! What user space sets before load; constant from then on, so the verifier drops what it rules out.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The name of the global that holds the [`Config`].
pub const CONFIG_GLOBAL: &str = "CONFIG";

/// Which process to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Config {
    /// The device of the PID namespace's file, when `pid_namespace_inode` is set.
    pub pid_namespace_device: u64,
    /// The PID namespace that `tgid` is counted in; 0 for the initial one, which is cheaper to ask for.
    pub pid_namespace_inode: u64,
    /// The process's id in that namespace.
    pub tgid: u32,
    /// Where `task_struct` keeps `min_flt`, which `maj_flt` follows; 0 when it is not known.
    pub task_faults: u32,
}

/// The name of the global that holds the [`GoConfig`].
pub const GO_CONFIG_GLOBAL: &str = "GO";

/// What is to be known of the Go runtime. All zeroes when its layout is not known: then no goroutine is looked
/// at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GoConfig {
    /// `g.waitreason`'s numbers, one bit each, that mean a wait for the network poller.
    pub network_reasons: u64,
    /// Those that mean a sleep.
    pub sleep_reasons: u64,
    /// Those that mean a wait for the collector.
    pub gc_reasons: u64,
    /// Waits of the main thread from this many nanoseconds on are told one by one.
    pub slow_wait: u64,
    /// The offset of `g.atomicstatus`.
    pub g_atomicstatus: u32,
    /// The offset of `g.waitreason`.
    pub g_waitreason: u32,
    /// The offset of `g.sched.pc`.
    pub g_sched_pc: u32,
    /// The offset of `g.sched.bp`.
    pub g_sched_bp: u32,
    /// The offset of `g.goid`.
    pub g_goid: u32,
    /// The offset of `g.gopc`.
    pub g_gopc: u32,
    /// Keeps the size a multiple of eight.
    pub reserved: u32,
    /// 1 to tell what is written to standard output and standard error.
    pub tell_writes: u32,
}

/// The name of the global that holds the [`WatchConfig`].
pub const WATCH_CONFIG_GLOBAL: &str = "WATCH";

/// What is to be known of the kernel to tell a process's parent. Zero when it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WatchConfig {
    /// Where `task_struct` keeps `real_parent`.
    pub real_parent: u32,
    /// Where it keeps `tgid`.
    pub tgid: u32,
}
