//! Breakpoints in a process's code that its file does not have: what probes are made of, and what a tracer can leave
//! behind that is killed while the kernel arms or disarms them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::gobin::GoBinary;
use super::memory::{Memory as _, ProcessMemory};
use super::process::{Process, ProcessError};
use crate::units::{RuntimeAddr, VirtAddr};

/// `int3`
const BREAKPOINT: u8 = 0xcc;

/// Of x86-64, the only code in which sites are chosen.
const PAGE: u64 = 4096;

/// Bits of an entry of `/proc/PID/pagemap` (Documentation/admin-guide/mm/pagemap.rst): the page is there, it is on disk,
/// it is the file's.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;

/// So many entries are read at once.
const ENTRIES: u64 = 512;

/// More than any tracer arms.
const MOST: usize = 1 << 14;

impl Process {
    /// Where its code has a breakpoint and the file has none, by the binary's own addresses, in order; the first 16384.
    ///
    /// The kernel writes a breakpoint to a copy of the page that is the process's own, so no other page is read, and
    /// none is brought into memory for this.
    ///
    /// # Errors
    /// When another program is in its memory, it may not be looked into, or it has ended.
    pub fn breakpoints(&self, binary: &GoBinary) -> Result<Vec<VirtAddr>, ProcessError> {
        let memory = self.memory()?;
        let bias = self.load_bias(binary, &memory)?;
        let failed = |error: io::Error| self.failed("its code", &error);
        let Some(code) = binary.code_segment() else { return Ok(Vec::new()) };
        let pages = File::open(self.path("pagemap")).map_err(failed)?;
        let in_process = |at: VirtAddr| at.0.wrapping_add(bias);
        let (begin, end) = (in_process(code.start), in_process(code.end));
        let mut found = Vec::new();
        for page in own_pages(&pages, begin, end).map_err(failed)? {
            let (from, to) = (page.max(begin), (page + PAGE).min(end));
            let file_offset = code.offset.0.saturating_add(from - begin);
            let there = Bytes { memory: &memory, file: binary.file() };
            let differing = there.breakpoints(from, to, file_offset).map_err(failed)?;
            found.extend(differing.into_iter().map(|at| VirtAddr(at.wrapping_sub(bias))));
            if found.len() > MOST {
                found.truncate(MOST);
                break;
            }
        }
        Ok(found)
    }
}

/// The pages of that range of which the process has a copy of its own.
fn own_pages(pages: &File, begin: u64, end: u64) -> io::Result<Vec<u64>> {
    let (mut next, last) = (begin / PAGE, end.div_ceil(PAGE));
    let mut own = Vec::new();
    while next < last {
        let count = (last - next).min(ENTRIES);
        let mut entries = vec![[0; 8]; usize::try_from(count).map_err(io::Error::other)?];
        pages.read_exact_at(entries.as_flattened_mut(), next * 8)?;
        let is_own = |entry: u64| entry & SWAPPED != 0 || entry & PRESENT != 0 && entry & OF_FILE == 0;
        let numbered = (next..).zip(&entries);
        let found = numbered.filter(|(_, entry)| is_own(u64::from_ne_bytes(**entry)));
        own.extend(found.map(|(number, _)| number * PAGE));
        next += count;
    }
    Ok(own)
}

/// A process's code, and the file's.
struct Bytes<'a> {
    memory: &'a ProcessMemory,
    file: &'a File,
}

impl Bytes<'_> {
    /// The addresses in the process, of that part of one page, where it has a breakpoint and the file has none.
    fn breakpoints(&self, from: u64, to: u64, file_offset: u64) -> io::Result<Vec<u64>> {
        let length = usize::try_from(to.saturating_sub(from)).map_err(io::Error::other)?;
        let (mut there, mut here) = (vec![0; length], vec![0; length]);
        self.memory.read(RuntimeAddr(from), &mut there)?;
        self.file.read_exact_at(&mut here, file_offset)?;
        let differs = |(_, (there, here)): &(u64, (&u8, &u8))| **there == BREAKPOINT && there != here;
        Ok((from..).zip(there.iter().zip(&here)).filter(differs).map(|(at, _)| at).collect())
    }
}
