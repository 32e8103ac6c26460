//! What gotrace's probes cost a start, piece by piece: measured on gotrace itself, which the programs take for the one
//! that they look at, with an object of its own in the kernel. So the session that it is measured for need not be touched.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::ptr;

use aya::maps::{Array, HashMap, MapData, RingBuf};
use serde::{Deserialize, Serialize};
use tracer_ebpf::main_thread::{MAIN_MAP, MainThread};
use tracer_ebpf::wire::Probe;
use tracer_ebpf::wire::startup::Cookie;
use tracer_ebpf::wire::watch::WATCHED_MAP;
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::attach::{AttachError, STARTUP, attach_tracepoint};
use super::load::{LoadError, LoadOptions, Loaded, MainThreadWords};
use super::trap::{armed, measure, pass, place};
use super::watching::WATCH;
use crate::units::{FileOffset, Nanos};

/// What the probes cost a program, piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// To run into one: the trap, the handler and its record.
    pub hit: Nanos,
    /// To return from a system call of which nothing is told.
    pub syscall: Nanos,
    /// To map a page on which there is one: the kernel makes a copy of it.
    pub page: Nanos,
    /// So many such pages there are.
    pub pages: u64,
}

/// So many calls a round: a page takes longer.
const HITS: u64 = 200;
const SYSCALLS: u64 = 200;
const PAGES: u64 = 20;

/// Room for the records of a round.
const RING_BYTES: u32 = 1 << 17;

impl Costs {
    /// Of a `gotrace run`. `options` have gotrace's own id for the target's.
    ///
    /// # Errors
    /// When the kernel refuses a probe, or the programs do not see gotrace.
    pub fn of_run(options: LoadOptions) -> Result<Self, AttachError> {
        let mut loaded = Loaded::load(&LoadOptions { ring_bytes: RING_BYTES, ..options })?;
        let mut main = loaded.take_main_thread()?;
        let syscalls = || measure(SYSCALLS, syscall, || {});
        let without = syscalls();
        attach_tracepoint(&mut loaded, "sys_exit", "sys_exit")?;
        executed(&mut main)?;
        let syscall = syscalls().since(without);
        Self::measured(&mut loaded, STARTUP, syscall)
    }

    /// Of a `gotrace watch`: it sees no system calls. gotrace must run in the initial PID namespace.
    ///
    /// # Errors
    /// When the kernel refuses a probe, or the program does not see gotrace.
    pub fn of_watch(options: LoadOptions) -> Result<Self, AttachError> {
        let mut loaded = Loaded::load(&LoadOptions { ring_bytes: RING_BYTES, ..options })?;
        let map = loaded.ebpf.take_map(WATCHED_MAP).ok_or(LoadError::Part(WATCHED_MAP))?;
        let failed = |source| LoadError::Map { map: WATCHED_MAP, source };
        let mut watched: HashMap<MapData, u32, u64> = HashMap::try_from(map).map_err(failed)?;
        // A binary of that number: the cookie's.
        watched.insert(std::process::id(), 0, 0).map_err(failed)?;
        Self::measured(&mut loaded, WATCH, Nanos(0))
    }

    /// With sites at those places.
    #[must_use]
    pub fn with_sites(self, sites: impl IntoIterator<Item = FileOffset>) -> Self {
        let mut pages: Vec<u64> = sites.into_iter().map(|offset| offset.0 >> 12).collect();
        pages.sort_unstable();
        pages.dedup();
        Self { pages: pages.len() as u64, ..self }
    }

    fn measured(loaded: &mut Loaded, program: &'static str, syscall: Nanos) -> Result<Self, AttachError> {
        let mut ring = loaded.take_events()?;
        let multi = loaded.multi_program(program)?;
        if multi.is_none() {
            loaded.load_uprobe(program)?;
        }
        let own = OwnPage::open().map_err(|source| AttachError::Sites { sites: 1, source })?;
        let map = || own.map();
        let hit_without = measure(HITS, pass, || {});
        let page_without = measure(PAGES, map, || {});
        let cookie = Cookie::new(Probe::Init, 0, 0).to_bits();
        let mut records = 0;
        let (hit, page) = armed(loaded, multi.as_ref(), program, cookie, || {
            let hit = measure(HITS, pass, || records += drained(&mut ring));
            (hit, measure(PAGES, map, || {}))
        })?;
        if records < HITS {
            let source = io::Error::other("the program does not see gotrace");
            return Err(AttachError::Sites { sites: 1, source });
        }
        Ok(Self { hit: hit.since(hit_without), syscall, page: page.since(page_without), pages: 0 })
    }
}

/// A system call that has hardly anything to do.
fn syscall() {
    // SAFETY: it has no preconditions.
    unsafe { libc::getppid() };
}

/// The account has begun with gotrace's last system call; what follows is to look like what follows an execve.
fn executed(main: &mut Array<MapData, MainThreadWords>) -> Result<(), LoadError> {
    let failed = |source| LoadError::Map { map: MAIN_MAP, source };
    let words = main.get(&0, 0).map_err(failed)?;
    let begun = MainThread::read_from_bytes(words.as_bytes()).map_err(|_| LoadError::Part(MAIN_MAP))?;
    let executed = MainThread { executed: 1, ..begun };
    let words = MainThreadWords::read_from_bytes(executed.as_bytes());
    main.set(0, words.map_err(|_| LoadError::Part(MAIN_MAP))?, 0).map_err(failed)
}

/// Empties the ring. Returns how many records were in it.
fn drained(ring: &mut RingBuf<MapData>) -> u64 {
    let mut records = 0;
    while ring.next().is_some() {
        records += 1;
    }
    records
}

/// The page of gotrace's own file on which the instruction is that is probed.
struct OwnPage {
    file: File,
    offset: i64,
}

impl OwnPage {
    const SIZE: usize = 4096;

    fn open() -> io::Result<Self> {
        let offset = place()?.0 & !(Self::SIZE as u64 - 1);
        let offset = i64::try_from(offset).map_err(io::Error::other)?;
        Ok(Self { file: File::open("/proc/self/exe")?, offset })
    }

    /// Maps it once more, and takes that away again.
    fn map(&self) {
        let (access, how) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE);
        // SAFETY: a new mapping at a place that the kernel chooses.
        let mapped: *mut c_void = unsafe {
            libc::mmap(ptr::null_mut(), Self::SIZE, access, how, self.file.as_raw_fd(), self.offset)
        };
        if mapped != libc::MAP_FAILED {
            // SAFETY: it was made just now, and nothing refers to it.
            unsafe { libc::munmap(mapped, Self::SIZE) };
        }
    }
}
