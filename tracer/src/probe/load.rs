//! The programs into the kernel.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::path::PathBuf;

use aya::maps::{Array, HashMap, Map, MapData, RingBuf, StackTraceMap};
use aya::programs::ProgramError;
use aya::{Ebpf, EbpfError, EbpfLoader};
use aya_log::EbpfLogger;
use thiserror::Error;
use tracer_ebpf::config::{
    BLOCKING_CONFIG_GLOBAL, CONFIG_GLOBAL, Config, FILE_CONFIG_GLOBAL, GC_CONFIG_GLOBAL, GO_CONFIG_GLOBAL,
    GoConfig, HEAP_CONFIG_GLOBAL, HeapConfig, PARKING_CONFIG_GLOBAL, STOPNOTE_GLOBAL, WATCH_CONFIG_GLOBAL,
};
use tracer_ebpf::main_thread::{MAIN_MAP, MainThread};
use tracer_ebpf::wire::blocking::{
    BRIEF_MAP, CALLS_MAP, Key, NETWORK_WAITS_MAP, NetworkWait, STACK_NUMBERS_MAP, STACKS_MAP, Stats,
    THREADS_MAP, Thread,
};
use tracer_ebpf::wire::gc::ASSISTS_MAP;
use tracer_ebpf::wire::parking::{PARKED_MAP, PARKINGS_MAP};
use tracer_ebpf::wire::profile::{SAMPLES_MAP, Sample};
use tracer_ebpf::wire::watch::{FILES_TOLD_MAP, SILENT_MAP, WATCHED_MAP};
use zerocopy::IntoBytes as _;

use super::{Blocking, Gc, Parking, Starts};
use crate::target::pid_namespace::PidNamespace;

/// The verifier refused a program, or the kernel the object.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Built without a BPF toolchain.
    #[error(
        "this gotrace was built without its BPF object, so it can read binaries but not trace; \
         to build it whole: cargo xtask setup && cargo build --release"
    )]
    NoObject,
    /// The object as a whole, or one of its maps.
    #[error("cannot load the BPF object: {0}")]
    Object(#[from] EbpfError),
    /// The object lacks what user space expects of it: built from other sources.
    #[error("the BPF object has no {0}; rebuild gotrace from one source tree")]
    Part(&'static str),
    /// One program. The verifier's log is saved whole.
    #[error(
        "the kernel refused the BPF program {program}: {source}; the verifier's log is in {}",
        log.display()
    )]
    Refused {
        /// The program's name.
        program: &'static str,
        /// What the system call said.
        source: io::Error,
        /// The file that holds the whole log.
        log: PathBuf,
    },
    /// A program could not be loaded for another reason than the verifier's.
    #[error("cannot load the BPF program {program}: {source}")]
    Program {
        /// The program's name.
        program: &'static str,
        /// aya's account of it.
        #[source]
        source: Box<ProgramError>,
    },
    /// A map could not be opened.
    #[error("cannot open the BPF map {map}: {source}")]
    Map {
        /// The map's name.
        map: &'static str,
        /// aya's account of it.
        source: aya::maps::MapError,
    },
}

impl LoadError {
    /// Sorts aya's error: a verifier's log goes to a file, whole.
    pub(super) fn of_program(program: &'static str, error: ProgramError) -> Self {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                Self::refused(program, io_error, &verifier_log.to_string())
            }
            other => Self::Program { program, source: Box::new(other) },
        }
    }

    /// Keeps the verifier's log in a new file that only the user can read.
    pub(super) fn refused(program: &'static str, source: io::Error, log: &str) -> Self {
        let name = format!("gotrace-verifier-{}-{program}.log", std::process::id());
        let path = std::env::temp_dir().join(name);
        let saved = crate::files::create_new_private(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, log.as_bytes()));
        match saved {
            Ok(()) => Self::Refused { program, source, log: path },
            Err(error) => {
                tracing::error!("cannot save the verifier's log to {}: {error}; it follows", path.display());
                tracing::error!("{log}");
                Self::Refused { program, source, log: PathBuf::from("the messages above") }
            }
        }
    }
}

/// The words of a `MainThread`; as such aya knows that any bytes will do.
pub type MainThreadWords = [u64; size_of::<MainThread>() / size_of::<u64>()];

/// What the programs are to look at: the process that has this id in the PID namespace that gotrace runs in.
#[must_use]
pub fn config_of(pid: u32, own: Option<PidNamespace>) -> Config {
    Config {
        pid_namespace_device: own.map_or(0, |namespace| namespace.device),
        pid_namespace_inode: own.map_or(0, |namespace| namespace.inode),
        tgid: pid,
        task_faults: 0,
    }
}

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Which process the programs look at.
    pub config: Config,
    /// What they are to know of its Go runtime.
    pub go: GoConfig,
    /// Where to see what it has allocated.
    pub heap: HeapConfig,
    /// Which starts to tell.
    pub starts: Starts,
    /// What of its system calls to sum up.
    pub blocking: Blocking,
    /// What to sum up of the goroutines that do not run.
    pub parking: Parking,
    /// What to tell of the collector.
    pub gc: Gc,
    /// The ring buffer's size in bytes: a power of two, a multiple of the page size.
    pub ring_bytes: u32,
    /// Whether the kernel side's own diagnostics are compiled in.
    pub kernel_log: bool,
}

impl LoadOptions {
    /// Of a start and nothing else, with a small ring.
    #[must_use]
    pub fn of_start(config: Config) -> Self {
        Self {
            config,
            go: GoConfig::default(),
            heap: HeapConfig::default(),
            starts: Starts::NONE,
            blocking: Blocking::NONE,
            parking: Parking::NONE,
            gc: Gc::NONE,
            ring_bytes: 1 << 16,
            kernel_log: false,
        }
    }
}

/// The object in the kernel: its maps exist, no program is attached.
#[derive(Debug)]
pub struct Loaded {
    pub(super) ebpf: Ebpf,
    /// The same object, parsed once more and relocated to the same maps: for the programs that aya cannot
    /// load with the attach type that they need.
    pub(super) relocated: aya_obj::Object,
}

impl Loaded {
    /// Loads the embedded object.
    ///
    /// # Errors
    /// When there is no object, or the kernel refuses it.
    pub fn load(options: &LoadOptions) -> Result<Self, LoadError> {
        let bytes = super::embedded_object().ok_or(LoadError::NoObject)?;
        // aya-log's levels count from 1, errors; 0 rules every message out, and the verifier drops its code.
        let log_level: u8 = if options.kernel_log { 5 } else { 0 };
        // Nothing in the object is to be relocated by the kernel's own type information, and to parse that takes 50 ms.
        let ebpf = EbpfLoader::new()
            .btf(None)
            .override_global(CONFIG_GLOBAL, options.config.as_bytes(), true)
            .override_global(GO_CONFIG_GLOBAL, options.go.as_bytes(), true)
            .override_global(HEAP_CONFIG_GLOBAL, options.heap.as_bytes(), true)
            .override_global(WATCH_CONFIG_GLOBAL, options.starts.config.as_bytes(), true)
            .override_global(BLOCKING_CONFIG_GLOBAL, options.blocking.config.as_bytes(), true)
            .override_global(PARKING_CONFIG_GLOBAL, options.parking.config.as_bytes(), true)
            .override_global(GC_CONFIG_GLOBAL, options.gc.config.as_bytes(), true)
            .override_global(STOPNOTE_GLOBAL, &options.gc.config.stopnote, true)
            .override_global(FILE_CONFIG_GLOBAL, options.blocking.files.as_bytes(), true)
            .override_global(aya_log::LEVEL, &log_level, false)
            .map_max_entries("EVENTS", options.ring_bytes)
            .map_max_entries(CALLS_MAP, options.blocking.most_sums)
            .map_max_entries(BRIEF_MAP, options.blocking.brief_entries)
            .map_max_entries(THREADS_MAP, options.blocking.most_threads)
            .map_max_entries(NETWORK_WAITS_MAP, options.blocking.most_waits)
            .map_max_entries(SAMPLES_MAP, options.blocking.most_samples)
            .map_max_entries(STACKS_MAP, options.blocking.most_stacks)
            .map_max_entries(STACK_NUMBERS_MAP, options.blocking.most_stacks)
            .map_max_entries(PARKINGS_MAP, options.parking.most_sums)
            .map_max_entries(PARKED_MAP, options.parking.most_parked)
            .map_max_entries(WATCHED_MAP, options.starts.most_under_way)
            .map_max_entries(FILES_TOLD_MAP, options.starts.most_files)
            .map_max_entries(SILENT_MAP, options.starts.most_silent)
            .map_max_entries(ASSISTS_MAP, options.gc.most_assists)
            .load(bytes)?;
        let relocated = relocate(bytes, &ebpf)?;
        Ok(Self { ebpf, relocated })
    }

    /// The kernel side's own log, to be flushed into the `log` crate; with `kernel_log` only.
    ///
    /// # Errors
    /// When the object has no log.
    pub fn take_log(&mut self) -> Result<EbpfLogger<&'static dyn log::Log>, LoadError> {
        EbpfLogger::init(&mut self.ebpf).map_err(|_| LoadError::Part("log map AYA_LOGS"))
    }

    /// The ring buffer that all records go through; once.
    ///
    /// # Errors
    /// When the object has none, or it was taken before.
    pub fn take_events(&mut self) -> Result<RingBuf<MapData>, LoadError> {
        let map = self.ebpf.take_map("EVENTS").ok_or(LoadError::Part("ring buffer EVENTS"))?;
        RingBuf::try_from(map).map_err(|source| LoadError::Map { map: "EVENTS", source })
    }

    /// Whether user space sleeps until a record comes, at index 0; once.
    ///
    /// # Errors
    /// When the object has none, or it was taken before.
    pub fn take_asleep(&mut self) -> Result<Array<MapData, u32>, LoadError> {
        let map = self.ebpf.take_map("ASLEEP").ok_or(LoadError::Part("array ASLEEP"))?;
        Array::try_from(map).map_err(|source| LoadError::Map { map: "ASLEEP", source })
    }

    /// Each probe's counters, two words a probe: hits, dropped; once.
    ///
    /// # Errors
    /// When the object has none, or it was taken before.
    pub fn take_counters(&mut self) -> Result<Array<MapData, [u64; 2]>, LoadError> {
        let map = self.ebpf.take_map("COUNTERS").ok_or(LoadError::Part("array COUNTERS"))?;
        Array::try_from(map).map_err(|source| LoadError::Map { map: "COUNTERS", source })
    }

    /// What the kernel side keeps of the main thread, at index 0; once.
    ///
    /// # Errors
    /// When the object has none, or it was taken before.
    pub fn take_main_thread(&mut self) -> Result<Array<MapData, MainThreadWords>, LoadError> {
        let map = self.ebpf.take_map(MAIN_MAP).ok_or(LoadError::Part("array MAIN"))?;
        Array::try_from(map).map_err(|source| LoadError::Map { map: MAIN_MAP, source })
    }
}

/// The maps of the sums, as words: so aya knows that any bytes will do.
#[expect(missing_debug_implementations, reason = "aya's arrays have none")]
pub struct BlockingMaps {
    /// From a `Key` to its `Stats`.
    pub calls: HashMap<MapData, KeyWords, StatsWords>,
    /// The `Stats` of calls that took no stack, by their `brief_index`.
    pub brief: Array<MapData, StatsWords>,
    /// From a thread's id to its `Thread`.
    pub threads: HashMap<MapData, u32, ThreadWords>,
    /// From a `g` to its `NetworkWait`.
    pub network_waits: HashMap<MapData, u64, NetworkWaitWords>,
    /// From a `Sample` to its count.
    pub samples: HashMap<MapData, SampleWords, u64>,
    /// The stacks by their numbers.
    pub stacks: StackTraceMap<MapData>,
}

/// The words of a `Key`.
pub type KeyWords = [u64; size_of::<Key>() / size_of::<u64>()];
/// The words of a `Stats`.
pub type StatsWords = [u64; size_of::<Stats>() / size_of::<u64>()];
/// The words of a `Sample`.
pub type SampleWords = [u64; size_of::<Sample>() / size_of::<u64>()];
/// The words of a `NetworkWait`.
pub type NetworkWaitWords = [u64; size_of::<NetworkWait>() / size_of::<u64>()];
/// The words of a `Thread`.
pub type ThreadWords = [u64; size_of::<Thread>() / size_of::<u64>()];

impl Loaded {
    /// The maps of the sums; once.
    ///
    /// # Errors
    /// When the object has none, or they were taken before.
    pub fn take_blocking(&mut self) -> Result<BlockingMaps, LoadError> {
        let mut take = |map| self.ebpf.take_map(map).ok_or(LoadError::Part(map));
        let opened = |map: &'static str| move |source| LoadError::Map { map, source };
        Ok(BlockingMaps {
            calls: HashMap::try_from(take(CALLS_MAP)?).map_err(opened(CALLS_MAP))?,
            brief: Array::try_from(take(BRIEF_MAP)?).map_err(opened(BRIEF_MAP))?,
            threads: HashMap::try_from(take(THREADS_MAP)?).map_err(opened(THREADS_MAP))?,
            network_waits: HashMap::try_from(take(NETWORK_WAITS_MAP)?).map_err(opened(NETWORK_WAITS_MAP))?,
            samples: HashMap::try_from(take(SAMPLES_MAP)?).map_err(opened(SAMPLES_MAP))?,
            stacks: StackTraceMap::try_from(take(STACKS_MAP)?).map_err(opened(STACKS_MAP))?,
        })
    }
}

fn relocate(bytes: &[u8], ebpf: &Ebpf) -> Result<aya_obj::Object, LoadError> {
    let mut object = aya_obj::Object::parse(bytes).map_err(EbpfError::from)?;
    let maps: Vec<(String, RawFd, aya_obj::Map)> = object
        .maps
        .iter()
        .filter_map(|(name, map)| Some((name.clone(), descriptor(ebpf.map(name)?)?, map.clone())))
        .collect();
    let text_sections = object.functions.keys().map(|(section, _)| *section).collect();
    object
        .relocate_maps(maps.iter().map(|(name, fd, map)| (name.as_str(), *fd, map)), &text_sections)
        .map_err(EbpfError::from)?;
    object.relocate_calls(&text_sections).map_err(EbpfError::from)?;
    Ok(object)
}

/// The descriptor of a map of one of the kinds that the kernel side uses.
fn descriptor(map: &Map) -> Option<RawFd> {
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::RingBuf(data)
        | Map::StackTraceMap(data) => Some(data.fd().as_fd().as_raw_fd()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifiers_log_is_kept_whole_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let error =
            LoadError::refused("a_test", io::Error::from_raw_os_error(libc::EACCES), "0: (b7) r0 = 0\n");
        let LoadError::Refused { log, .. } = &error else { panic!("{error}") };
        assert!(error.to_string().contains(log.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read_to_string(log).unwrap(), "0: (b7) r0 = 0\n");
        assert_eq!(std::fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(log).unwrap();
    }
}
