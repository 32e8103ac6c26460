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

/// The name of the global that holds the [`HeapConfig`].
pub const HEAP_CONFIG_GLOBAL: &str = "HEAP";

/// Where Go's allocator counts (runtime/mstats.go, mcache.go). All zeroes when it is not to be asked. The
/// addresses are the file's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HeapConfig {
    /// `memstats.heapStats.stats`: [`GENERATIONS`] `heapStatsDelta`s.
    pub heap_stats: u64,
    /// `gcController.totalAlloc`
    pub total_alloc: u64,
    /// `allp`, a slice.
    pub allp: u64,
    /// The size of a `heapStatsDelta`, at most [`LARGEST_DELTA`].
    pub delta_size: u32,
    /// The offset of `heapStatsDelta.tinyAllocCount`.
    pub tiny_alloc_count: u32,
    /// The offset of `heapStatsDelta.largeAllocCount`.
    pub large_alloc_count: u32,
    /// The offset of `heapStatsDelta.smallAllocCount`: [`SIZE_CLASSES`] words.
    pub small_alloc_count: u32,
    /// The offset of `p.mcache`.
    pub p_mcache: u32,
    /// The offset of `mcache.tinyAllocs`, which `mcache.alloc` follows: [`SPAN_CLASSES`] addresses.
    pub mcache_tiny_allocs: u32,
    /// The offset of `mspan.allocCount`; `spanclass`, `allocCountBeforeCache` and `elemsize` follow 2, 6 and 8
    /// bytes behind it.
    pub mspan_alloc_count: u32,
    /// So many Ps (`GOMAXPROCS`) are asked; of a process that has more, nothing is known. At most [`MOST_PS`]:
    /// the verifier follows the loop.
    pub most_ps: u32,
}

/// `len(consistentHeapStats.stats)`
pub const GENERATIONS: usize = 3;
/// `_NumSizeClasses`
pub const SIZE_CLASSES: usize = 68;
/// `numSpanClasses`
pub const SPAN_CLASSES: usize = 2 * SIZE_CLASSES;
/// `unsafe.Sizeof(heapStatsDelta{})` of Go 1.24 and before.
pub const LARGEST_DELTA: usize = 1176;
/// The verifier follows a million instructions, and each P takes about 20 000 of them.
pub const MOST_PS: u32 = 32;

/// The name of the global that holds the [`WatchConfig`].
pub const WATCH_CONFIG_GLOBAL: &str = "WATCH";

/// What is to be known of the kernel to tell a process's parent and its executable. Zero when it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WatchConfig {
    /// Where `task_struct` keeps `real_parent`.
    pub real_parent: u32,
    /// Where it keeps `tgid`.
    pub tgid: u32,
    /// 1 to tell execs of files that are new.
    pub tell_files: u32,
    /// `linux_binprm.file`
    pub binprm_file: u32,
    /// `file.f_inode`
    pub file_inode: u32,
    /// `inode.i_ino`
    pub inode_number: u32,
    /// `inode.i_sb`
    pub inode_superblock: u32,
    /// `super_block.s_dev`
    pub superblock_device: u32,
    /// 1 to tell when a process listens.
    pub tell_listens: u32,
}

impl WatchConfig {
    /// Nothing is known, and no file told.
    pub const NONE: Self = Self {
        real_parent: 0,
        tgid: 0,
        tell_files: 0,
        binprm_file: 0,
        file_inode: 0,
        inode_number: 0,
        inode_superblock: 0,
        superblock_device: 0,
        tell_listens: 0,
    };
}

/// The name of the global that holds the [`BlockingConfig`].
pub const BLOCKING_CONFIG_GLOBAL: &str = "BLOCKING";

/// What to tell of a running program's system calls, and how to find who makes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BlockingConfig {
    /// What takes this many nanoseconds or more is told by itself.
    pub slow: u64,
    /// What takes this many nanoseconds or more is summed up by its stack and its object's type.
    pub stack_from: u64,
    /// The device of the target's own PID namespace's file, when `namespace_inode` is set.
    pub namespace_device: u64,
    /// The target's own PID namespace, in which `m.procid` counts; 0 when it is the one that `Config` counts in.
    pub namespace_inode: u64,
    /// The offset of `g.m`.
    pub g_m: u32,
    /// The offset of `g.goid`.
    pub g_goid: u32,
    /// The offset of `g.gopc`.
    pub g_gopc: u32,
    /// The offset of `m.procid`.
    pub m_procid: u32,
    /// The offset of `m.curg`; 0 when the layout is not known: then no goroutine is looked for.
    pub m_curg: u32,
    /// 1 when a thread's `m` may become another's: C threads that call Go borrow one (runtime/proc.go, `needm`).
    pub m_moves: u32,
}

impl BlockingConfig {
    /// Nothing is known.
    pub const NONE: Self = Self {
        slow: 0,
        stack_from: 0,
        namespace_device: 0,
        namespace_inode: 0,
        g_m: 0,
        g_goid: 0,
        g_gopc: 0,
        m_procid: 0,
        m_curg: 0,
        m_moves: 0,
    };
}

/// The name of the global that holds the [`FileConfig`].
pub const FILE_CONFIG_GLOBAL: &str = "FILES";

/// Where the kernel keeps what a descriptor stands for. All zeroes when it is not known: then it is not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FileConfig {
    /// `task_struct.files`
    pub task_files: u32,
    /// `files_struct.fdt`
    pub files_fdt: u32,
    /// `fdtable.max_fds`
    pub fdt_max_fds: u32,
    /// `fdtable.fd`
    pub fdt_fd: u32,
    /// `file.f_inode`
    pub file_inode: u32,
    /// `file.private_data`
    pub file_private: u32,
    /// `inode.i_mode`
    pub inode_mode: u32,
    /// `inode.i_ino`
    pub inode_number: u32,
    /// `inode.i_sb`
    pub inode_superblock: u32,
    /// `super_block.s_dev`
    pub superblock_device: u32,
    /// `socket.sk`
    pub socket_sock: u32,
    /// `socket.type`
    pub socket_type: u32,
    /// `sock_common.skc_family`
    pub sock_family: u32,
    /// `sock_common.skc_daddr`, which `skc_rcv_saddr` follows.
    pub sock_addresses: u32,
    /// `sock_common.skc_dport`, which `skc_num` follows.
    pub sock_ports: u32,
    /// `sock_common.skc_v6_daddr`, which `skc_v6_rcv_saddr` follows.
    pub sock_addresses6: u32,
    /// `file.f_path.dentry`
    pub file_dentry: u32,
    /// `dentry.d_name.name`
    pub dentry_name: u32,
}

impl FileConfig {
    /// Nothing is known.
    pub const NONE: Self = Self {
        task_files: 0,
        files_fdt: 0,
        fdt_max_fds: 0,
        fdt_fd: 0,
        file_inode: 0,
        file_private: 0,
        inode_mode: 0,
        inode_number: 0,
        inode_superblock: 0,
        superblock_device: 0,
        socket_sock: 0,
        socket_type: 0,
        sock_family: 0,
        sock_addresses: 0,
        sock_ports: 0,
        sock_addresses6: 0,
        file_dentry: 0,
        dentry_name: 0,
    };
}

/// The name of the global that holds the [`ParkingConfig`].
pub const PARKING_CONFIG_GLOBAL: &str = "PARKING";

/// What is to be known of a goroutine beside the [`BlockingConfig`] to tell why it does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ParkingConfig {
    /// The offset of `g.atomicstatus`.
    pub g_atomicstatus: u32,
    /// The offset of `g.waitreason`.
    pub g_waitreason: u32,
    /// How far behind the probed instruction of `runtime.mcall` `runtime.park_m` begins, wrapping; 0 where `gopark` is
    /// probed.
    pub park_m: u64,
}

impl ParkingConfig {
    /// Nothing is known.
    pub const NONE: Self = Self { g_atomicstatus: 0, g_waitreason: 0, park_m: 0 };
}

/// The name of the global that holds the [`GcConfig`].
pub const GC_CONFIG_GLOBAL: &str = "GC";
/// The name of the global that holds [`GcConfig::stopnote`] once more.
pub const STOPNOTE_GLOBAL: &str = "STOPNOTE";

/// Where the collector keeps what is told of it. All zeroes when it is not to be told. The addresses are the file's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GcConfig {
    /// The part of `runtime.work` that is read for each cycle.
    pub work: u64,
    /// `runtime.gcController`
    pub controller: u64,
    /// `runtime.memstats.numgc`
    pub stats: u64,
    /// `runtime.memstats.pause_total_ns`
    pub pause_total: u64,
    /// `runtime.sched.stopnote`, on which sleeps who stops the world, as an address of the process; 0 when it is not
    /// to be looked at who keeps it from stopping.
    pub stopnote: u64,
    /// `runtime.allp`, a slice.
    pub allp: u64,
    /// What is to be added to an address of the file to have one of the process; where `stopnote` is 0 it need not be
    /// known.
    pub bias: u64,
    /// The numbers of the reasons to stop the world, one bit each, for which a probe of
    /// [`crate::wire::Probe::WorldStarted`] follows that of [`crate::wire::Probe::WorldStarting`].
    pub told_later: u64,
    /// The offset of `p.status`.
    pub p_status: u32,
    /// The offset of `p.m`.
    pub p_m: u32,
    /// `task_struct.on_cpu`; 0 when what the kernel knows of a thread is not known.
    pub task_on_cpu: u32,
    /// `task_struct.__state`
    pub task_state: u32,
    /// `task_struct.signal`
    pub task_signal: u32,
    /// `signal_struct.thread_head`
    pub signal_thread_head: u32,
    /// `task_struct.thread_node`
    pub task_thread_node: u32,
    /// `task_struct.thread_pid`
    pub task_thread_pid: u32,
    /// `pid.level`
    pub pid_level: u32,
    /// `pid.numbers`, of 16 bytes each, whose first 4 are the number.
    pub pid_numbers: u32,
    /// The offset of `g.m`.
    pub g_m: u32,
    /// The offset of `g.sched.sp`.
    pub g_sched_sp: u32,
    /// The offset of `g.atomicstatus` where a goroutine leaves no frame pointer when it makes a system call (before
    /// Go 1.23); else 0.
    pub g_atomicstatus: u32,
    /// The offset of `m.curg`.
    pub m_curg: u32,
    /// The offset of `m.procid`.
    pub m_procid: u32,
    /// `task_struct.se.sum_exec_runtime`
    pub task_runtime: u32,
}

impl GcConfig {
    /// Nothing is known.
    pub const NONE: Self = Self {
        work: 0,
        controller: 0,
        stats: 0,
        pause_total: 0,
        stopnote: 0,
        allp: 0,
        bias: 0,
        told_later: 0,
        p_status: 0,
        p_m: 0,
        task_on_cpu: 0,
        task_state: 0,
        task_signal: 0,
        signal_thread_head: 0,
        task_thread_node: 0,
        task_thread_pid: 0,
        pid_level: 0,
        pid_numbers: 0,
        g_m: 0,
        g_sched_sp: 0,
        g_atomicstatus: 0,
        m_curg: 0,
        m_procid: 0,
        task_runtime: 0,
    };
}
