//! The addresses that position independent programs keep in their relocations and not in place: some linkers
//! write zeros where the pointers go.

use std::sync::OnceLock;

use super::Machine;
use super::elf::Elf;
use super::error::BinaryError;
use super::source::{Source, u64_at};
use crate::units::VirtAddr;

/// `R_X86_64_RELATIVE` and `R_AARCH64_RELATIVE`: the place gets the load bias plus the addend.
const RELATIVE_X86_64: u64 = 8;
const RELATIVE_AARCH64: u64 = 1027;

/// One entry: place, kind, addend.
const ENTRY: u64 = 24;

/// A program's relative relocations, read when a pointer is first found to be zero.
#[derive(Debug)]
pub(super) struct Relocations {
    /// Place and value, sorted by place; read when first needed.
    entries: OnceLock<Vec<(u64, u64)>>,
    table: Option<Table>,
}

#[derive(Debug)]
struct Table {
    bytes: Vec<u8>,
    kind: u64,
}

impl Relocations {
    /// A program at a fixed address has none to apply.
    pub(super) fn of(source: &Source, elf: &Elf) -> Result<Self, BinaryError> {
        let mut table = None;
        if elf.linking.pie
            && let Some((address, len)) = elf.rela
        {
            let kind = if elf.machine == Machine::X86_64 { RELATIVE_X86_64 } else { RELATIVE_AARCH64 };
            table = Some(Table { bytes: elf.bytes(source, VirtAddr(address), len - len % ENTRY)?, kind });
        }
        Ok(Self { entries: OnceLock::new(), table })
    }

    fn entries(&self) -> &[(u64, u64)] {
        self.entries.get_or_init(|| {
            let Some(Table { bytes, kind }) = &self.table else { return Vec::new() };
            let entry = |entry: &[u8]| {
                let kind_of_entry = u64_at(entry, 8)? & 0xffff_ffff;
                (kind_of_entry == *kind).then_some((u64_at(entry, 0)?, u64_at(entry, 16)?))
            };
            let mut entries: Vec<(u64, u64)> = bytes.chunks_exact(ENTRY as usize).filter_map(entry).collect();
            entries.sort_unstable();
            // A linker relocates each place once; so a part of the program has no more of them than bytes.
            entries.dedup_by_key(|(place, _)| *place);
            entries
        })
    }

    /// The places that get `first`, with `second` in the word behind.
    pub(super) fn pairs(&self, first: u64, second: u64) -> impl Iterator<Item = VirtAddr> {
        let pair = move |window: &[(u64, u64)]| {
            let [(place, value), (next, next_value)] = window else { return None };
            let is_pair = *value == first && *next_value == second && place.checked_add(8) == Some(*next);
            is_pair.then_some(VirtAddr(*place))
        };
        self.entries().windows(2).filter_map(pair)
    }

    /// Bytes by address, with relocated words where the file has zeros.
    pub(super) fn apply(
        &self,
        source: &Source,
        elf: &Elf,
        address: VirtAddr,
        len: u64,
    ) -> Result<Vec<u8>, BinaryError> {
        let mut bytes = elf.bytes(source, address, len)?;
        if self.table.is_none() {
            return Ok(bytes);
        }
        let end = address.0.saturating_add(len);
        let entries = self.entries();
        let from = entries.partition_point(|(place, _)| *place < address.0);
        for (place, value) in entries[from..].iter().take_while(|(place, _)| place.saturating_add(8) <= end) {
            let at = (place - address.0) as usize;
            if let Some(word) = bytes.get_mut(at..at + 8)
                && word.iter().all(|byte| *byte == 0)
            {
                word.copy_from_slice(&value.to_le_bytes());
            }
        }
        Ok(bytes)
    }
}
