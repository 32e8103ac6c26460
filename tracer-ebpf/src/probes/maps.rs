//! Every map and global, in one place.

use aya_ebpf::{
    Global,
    btf_maps::{Array, HashMap, LruHashMap, RingBuf, StackTrace},
    macros::btf_map,
};
use tracer_ebpf::{
    config::{
        BlockingConfig, Config, FileConfig, GcConfig, GoConfig, HeapConfig, ParkingConfig, WatchConfig,
    },
    main_thread::MainThread,
    wire::{
        Probe,
        blocking::{Key, NetworkWait, Stats, Thread},
        gc::{AssistKey, AssistStats},
        loss::Counters,
        parking,
        process::COMM_LEN,
        profile::Sample,
        watch::FileKey,
    },
};

use super::{gc::World, heap::Scratch, network::WAITING_SLOTS};

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

/// Set by user space before load.
#[unsafe(no_mangle)]
pub(super) static HEAP: Global<HeapConfig> = Global::new(HeapConfig {
    heap_stats: 0,
    total_alloc: 0,
    allp: 0,
    delta_size: 0,
    tiny_alloc_count: 0,
    large_alloc_count: 0,
    small_alloc_count: 0,
    p_mcache: 0,
    mcache_tiny_allocs: 0,
    mspan_alloc_count: 0,
    most_ps: 0,
});

/// The way to user space, which sets the size. One ring, so that the records of a process stay in order.
#[btf_map]
pub(super) static EVENTS: RingBuf<[u8; 0], { 1 << 20 }> = RingBuf::new();

/// 1 while user space sleeps until a record comes, which is to wake it.
#[btf_map]
pub(super) static ASLEEP: Array<u32, 1> = Array::new();

/// One probe's counters at its number. Shared by all CPUs: uprobe handlers can be preempted, so a per-CPU
/// counter could be torn, an atomic one cannot.
#[btf_map]
pub(super) static COUNTERS: Array<Counters, { Probe::ALL.len() }> = Array::new();

/// What is known of the target's main thread.
#[btf_map]
pub(super) static MAIN: Array<MainThread, 1> = Array::new();

/// Room to add up what the allocator counts. Only the main thread uses it, so that it cannot be torn.
#[btf_map]
pub(super) static HEAP_SCRATCH: Array<Scratch, 1> = Array::new();

/// Set by user space before load.
#[unsafe(no_mangle)]
pub(super) static WATCH: Global<WatchConfig> = Global::new(WatchConfig::NONE);

/// An exec, before it is known of which binary.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Executed {
    pub(super) time: u64,
    pub(super) comm: [u8; COMM_LEN],
    pub(super) parent: u32,
}

/// The last execs of all processes, by process. The oldest are forgotten.
#[btf_map]
pub(super) static EXECUTED: LruHashMap<u32, Executed, 8192> = LruHashMap::new();

/// The processes that run a watched binary and have not reached `main.main`, and its number.
#[btf_map]
pub(super) static WATCHED: HashMap<u32, u64, 1> = HashMap::new();

/// The processes that were watched and do not listen yet.
#[btf_map]
pub(super) static SILENT: HashMap<u32, u8, 1> = HashMap::new();

/// When an exec of a file was told last. The oldest are forgotten.
#[btf_map]
pub(super) static FILES_TOLD: LruHashMap<FileKey, u64, 1> = LruHashMap::new();

/// Set by user space before load.
#[unsafe(no_mangle)]
pub(super) static BLOCKING: Global<BlockingConfig> = Global::new(BlockingConfig::NONE);

/// Set by user space before load.
#[unsafe(no_mangle)]
pub(super) static FILES: Global<FileConfig> = Global::new(FileConfig::NONE);

// User space makes these as large as it wants before load, and small when nobody asks for what they hold.

/// The sums.
#[btf_map]
pub(super) static CALLS: HashMap<Key, Stats, 1> = HashMap::new();

/// The sums of calls that took no stack.
#[btf_map]
pub(super) static BRIEF: Array<Stats, 1> = Array::new();

/// What every sum begins with; too large for a program's own stack.
#[btf_map]
pub(super) static EMPTY_STATS: Array<Stats, 1> = Array::new();

/// The target's threads, by their ids in the initial PID namespace.
#[btf_map]
pub(super) static THREADS: HashMap<u32, Thread, 1> = HashMap::new();

/// The goroutines that wait in the network poller, by the address of their `g`.
#[btf_map]
pub(super) static NETWORK_WAITS: HashMap<u64, NetworkWait, 1> = HashMap::new();

/// How many goroutines of [`NETWORK_WAITS`] have an address with this hash.
#[btf_map]
pub(super) static WAITING: Array<u64, { WAITING_SLOTS as usize }> = Array::new();

/// The stacks, by the number that the kernel makes of them.
#[btf_map]
pub(super) static STACKS: StackTrace<1> = StackTrace::new();

/// The numbers of stacks of [`STACKS`], by their fingerprints.
#[btf_map]
pub(super) static STACK_NUMBERS: HashMap<u64, i64, 1> = HashMap::new();

/// How often the target was met on a CPU there.
#[btf_map]
pub(super) static SAMPLES: HashMap<Sample, u64, 1> = HashMap::new();

/// Set by user space before load.
#[unsafe(no_mangle)]
pub(super) static PARKING: Global<ParkingConfig> = Global::new(ParkingConfig::NONE);

/// The sums of the goroutines' waits.
#[btf_map]
pub(super) static PARKINGS: HashMap<parking::Key, parking::Stats, 1> = HashMap::new();

/// What every one of these sums begins with.
#[btf_map]
pub(super) static EMPTY_PARKING: Array<parking::Stats, 1> = Array::new();

/// The goroutines that are parked, by their ids.
#[btf_map]
pub(super) static PARKED: HashMap<u64, parking::Parked, 1> = HashMap::new();

/// Goroutines whose id has one of these bits are not followed. User space writes it.
#[btf_map]
pub(super) static SAMPLING: Array<u64, 1> = Array::new();

/// What following them cost so far.
#[btf_map]
pub(super) static SPENT: Array<u64, 1> = Array::new();

/// Set by user space before load.
#[unsafe(no_mangle)]
pub(super) static GC: Global<GcConfig> = Global::new(GcConfig::NONE);

/// `stopnote` of [`GC`] once more, by itself: every system call is compared with it.
#[unsafe(no_mangle)]
pub(super) static STOPNOTE: Global<u64> = Global::new(0);

/// What is known of the stop of the world that goes on. There is one at a time (`runtime.worldsema`).
#[btf_map]
pub(super) static WORLD: Array<World, 1> = Array::new();

/// The sums of who was made to help with marking.
#[btf_map]
pub(super) static ASSISTS: HashMap<AssistKey, AssistStats, 1> = HashMap::new();
