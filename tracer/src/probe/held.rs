//! The pages of the sites, verified and kept in memory while they are armed.
//!
//! When a process maps a site for the first time, the kernel reads the instruction from the page cache
//! (kernel/events/uprobes.c, `copy_insn`). Where memory is reclaimed meanwhile the page may be gone again: the program
//! would wait for a disk on the probe's behalf, and ext4 with `CONFIG_EXT4_DEBUG` (Linux 6.18) would warn in the kernel's
//! log, because the uprobe code takes no lock to read it (`ext4_check_map_extents_env`). That a process has the page
//! does not keep it there: one that was probed before may have a copy of its own.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use memmap2::{MmapOptions, MmapRaw};

use super::attach::AttachError;
use super::plan::PlannedSite;
use crate::units::FileOffset;

/// The smallest page of any architecture. Where they are larger, several of these are one.
const PAGE: u64 = 4096;

/// How much the kernel copies from a site at most (arch/x86/include/asm/uprobes.h, `MAX_UINSN_BYTES`).
const COPIED: u64 = 16;

/// Locked pages of a binary. They are never read through this mapping, since a file that is cut short would raise SIGBUS.
#[derive(Debug)]
pub(super) struct Held {
    #[expect(dead_code, reason = "held for its drop")]
    pages: Vec<MmapRaw>,
}

impl Held {
    /// Compares the sites with the file once more, as late as possible, and keeps their pages in memory as far as the
    /// system allows it: the probes do without if they must.
    ///
    /// # Errors
    /// When the file has changed or cannot be read.
    pub(super) fn verified(binary: &File, sites: &[PlannedSite]) -> Result<Self, AttachError> {
        sites.iter().try_for_each(|planned| verify(binary, planned))?;
        Ok(Self::at(binary, sites.iter().map(|planned| planned.site.file_offset)))
    }

    /// The same without a comparison, of places in a file.
    pub(super) fn at(binary: &File, places: impl IntoIterator<Item = FileOffset>) -> Self {
        let pages = pages(binary, places).into_iter().map_while(|page| {
            let locked = lock(binary, page);
            locked.inspect_err(|error| tracing::debug!("not every site's page stays in memory: {error}")).ok()
        });
        Self { pages: pages.collect() }
    }
}

fn verify(binary: &File, planned: &PlannedSite) -> Result<(), AttachError> {
    let function = || planned.function.clone();
    let mut bytes = vec![0; planned.site.bytes.len()];
    binary
        .read_exact_at(&mut bytes, planned.site.file_offset.0)
        .map_err(|source| AttachError::Unreadable { function: function(), source })?;
    if bytes == planned.site.bytes { Ok(()) } else { Err(AttachError::Changed { function: function() }) }
}

/// The numbers of the pages that the kernel copies from, each once.
fn pages(binary: &File, places: impl IntoIterator<Item = FileOffset>) -> BTreeSet<u64> {
    let last = binary.metadata().map_or(0, |metadata| metadata.len().saturating_sub(1));
    let of_place = |FileOffset(begin): FileOffset| {
        begin.min(last) / PAGE..=begin.saturating_add(COPIED - 1).min(last) / PAGE
    };
    places.into_iter().flat_map(of_place).collect()
}

fn lock(binary: &File, page: u64) -> io::Result<MmapRaw> {
    let mapped = MmapOptions::new().offset(page * PAGE).len(1).map_raw_read_only(binary)?;
    mapped.lock()?;
    Ok(mapped)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::probe::own_site;

    fn site(offset: u64) -> PlannedSite {
        let mut planned = own_site().unwrap();
        planned.site.file_offset = FileOffset(offset);
        planned
    }

    /// How much this process has locked, in KiB (proc_pid_status(5)).
    fn locked() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn every_page_that_a_site_reaches_into_is_locked_until_it_is_let_go() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0x55; 4 * 4096 + 2]).unwrap();
        // Two in the first page, one across the second and the third, one at the very end.
        let sites = [site(0x10), site(0x20), site(2 * 4096 - 8), site(4 * 4096 + 1)];
        let held = Held::verified(&file, &sites).unwrap();
        assert_eq!(locked(), 4 * 4);
        drop(held);
        assert_eq!(locked(), 0);
    }

    #[test]
    fn a_file_that_has_changed_is_refused() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0x90; 64]).unwrap();
        assert!(matches!(Held::verified(&file, &[site(0)]), Err(AttachError::Changed { .. })));
        assert!(matches!(Held::verified(&file, &[site(64)]), Err(AttachError::Unreadable { .. })));
    }
}
