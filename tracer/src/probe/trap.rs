//! What it costs a program to run into a probe, measured on an instruction of gotrace's own.
//!
//! The handler's time is measured where it is spent, by the handler itself; the trap around it cannot be, so it is
//! measured here: the processor time of calls of a probed function, less that of the same calls without a probe. The
//! program's own traps may cost more, because they also push its data out of the processor's caches and its threads
//! may meet in the kernel; they do not cost less.

use std::arch::naked_asm;
use std::ffi::CString;
use std::fs;
use std::io;

use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope};

use super::Probe;
use super::attach::{AttachError, typed};
use super::held::Held;
use super::load::{LoadError, Loaded};
use super::plan::PlannedSite;
use super::uprobe_multi::{Point, Program, Supported};
use crate::target::gobin::{Site, SiteKind};
use crate::target::maps::Mapping;
use crate::units::{FileOffset, Nanos, VirtAddr, clock_time};

/// The instruction that most probes are on: the kernel emulates it.
const PUSH: u8 = 0x55;

/// So many calls at a time, and so often: together about 20 ms where a trap is dear.
const CALLS: u64 = 1_000;
const ROUNDS: usize = 16;

/// A function with the beginning that Go's have.
#[unsafe(naked)]
extern "C" fn probed() {
    naked_asm!("push rbp", "mov rbp, rsp", "pop rbp", "ret")
}

/// The instruction as a site of a start's, for gotrace to see itself by.
///
/// # Errors
/// When gotrace's own code is not as it was compiled.
pub fn own_site() -> io::Result<PlannedSite> {
    let site = Site {
        address: VirtAddr(0),
        file_offset: place()?,
        bytes: vec![PUSH],
        instruction: "push rbp".to_owned(),
        kind: SiteKind::FramePush,
        register: None,
        emulated: true,
    };
    Ok(PlannedSite { hook: Probe::GoEntry, function: "gotrace's own".to_owned(), site })
}

/// Comes by it.
pub fn pass() {
    probed();
}

/// Where gotrace's own file has the instruction.
pub(super) fn place() -> io::Result<FileOffset> {
    let address = probed as extern "C" fn() as usize as u64;
    // SAFETY: it is the first byte of a function.
    if unsafe { *(address as *const u8) } != PUSH {
        return Err(io::Error::other("gotrace's own code is not as it was compiled"));
    }
    offset_of(&fs::read_to_string("/proc/self/maps")?, address)
        .ok_or_else(|| io::Error::other("gotrace's own code is in no file"))
}

/// Looks the address up in the lines of proc_pid_maps(5).
fn offset_of(maps: &str, address: u64) -> Option<FileOffset> {
    let mut mappings = maps.lines().filter_map(|line| Mapping::parse(line.as_bytes()));
    let mapping = mappings.find(|mapping| mapping.range.contains(&address))?;
    (address - mapping.range.start).checked_add(mapping.offset).map(FileOffset)
}

/// What a call of a probed function takes longer than one of the same without the probe, which the program of that name
/// serves; it is given where the kernel has links of many sites, and loaded otherwise.
pub(super) fn cost(
    loaded: &mut Loaded,
    multi: Option<&Program>,
    name: &'static str,
) -> Result<Nanos, AttachError> {
    let measure = || measure(CALLS, pass, || {});
    let without = measure();
    Ok(armed(loaded, multi, name, 0, measure)?.since(without))
}

/// What `measure` gives while gotrace's own instruction is probed, by the program of that name, with that cookie.
pub(super) fn armed<T>(
    loaded: &mut Loaded,
    multi: Option<&Program>,
    name: &'static str,
    cookie: u64,
    measure: impl FnOnce() -> T,
) -> Result<T, AttachError> {
    const OWN: &str = "/proc/self/exe";
    let failed = |source| AttachError::Sites { sites: 1, source };
    let place = place().map_err(failed)?;
    let _held = Held::at(&fs::File::open(OWN).map_err(failed)?, [place]);
    if let Some(program) = multi {
        let path = CString::new(OWN).map_err(|_| LoadError::Part("path"))?;
        let pid = if program.supported() == Supported::Yes { std::process::id() } else { 0 };
        let point = [Point { offset: place.0, cookie }];
        let _armed = program.attach(&path, &point, pid).map_err(failed)?;
        Ok(measure())
    } else {
        let program: &mut UProbe = typed(loaded, name)?;
        let location = UProbeAttachLocation::AbsoluteOffset(place.0);
        let refused =
            |source| AttachError::Site { function: "gotrace's own".to_owned(), source: Box::new(source) };
        let point = UProbeAttachPoint { location, cookie: Some(cookie) };
        let armed = program.attach(point, OWN, UProbeScope::AllProcesses).map_err(refused)?;
        let measured = measure();
        program.detach(armed).map_err(refused)?;
        Ok(measured)
    }
}

/// The processor time of one call, in nanoseconds: the lower quartile of several rounds of so many, because
/// whatever disturbs one (an interrupt, the hypervisor) only adds to it. `rest` comes after each and is not measured.
pub(super) fn measure(calls: u64, mut call: impl FnMut(), mut rest: impl FnMut()) -> Nanos {
    let now = || clock_time(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default();
    let mut rounds = [0; ROUNDS];
    for round in &mut rounds {
        let begin = now();
        for _ in 0..calls {
            call();
        }
        *round = now().since(begin).0;
        rest();
    }
    rounds.sort_unstable();
    Nanos(rounds[ROUNDS / 4] / calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_is_found_in_gotraces_own_file() {
        use std::os::unix::fs::FileExt as _;
        let mut bytes = [0; 4];
        let file = fs::File::open("/proc/self/exe").unwrap();
        file.read_exact_at(&mut bytes, place().unwrap().0).unwrap();
        assert_eq!(bytes, [PUSH, 0x48, 0x89, 0xe5]);
    }

    #[test]
    fn an_address_is_looked_up_in_the_maps() {
        let maps = "1000-2000 r--p 00000000 fe:01 7 /bin/a\n2000-4000 r-xp 00001000 fe:01 7 /bin/a\n";
        assert_eq!(offset_of(maps, 0x2010), Some(FileOffset(0x1010)));
        assert_eq!(offset_of(maps, 0x4000), None);
        assert_eq!(offset_of("nonsense", 0), None);
    }
}
