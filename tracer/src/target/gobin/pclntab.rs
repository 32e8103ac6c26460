//! Go's function table. Stripping leaves it alone, and section names do not always tell where it is, so it is
//! found by its first bytes and proven by its contents and by the module data that points to it.

use super::Machine;
use super::elf::{Elf, Segment};
use super::error::BinaryError;
use super::layout::{self, moduledata};
use super::relocations::Relocations;
use super::source::{Source, u32_at, u64_at};
use crate::units::VirtAddr;

/// The header's size: magic, two zeros, instruction size, pointer size, and eight words.
const HEADER: u64 = 72;

/// The table, found and proven.
#[derive(Debug)]
pub(super) struct Pclntab {
    pub(super) magic: u32,
    /// Where it is in memory, as the file states it.
    pub(super) address: u64,
    pub(super) functions: u32,
    /// Where its parts begin, from its own begin.
    pub(super) names: u64,
    pub(super) files_by_unit: u64,
    pub(super) files: u64,
    pub(super) pc_values: u64,
    pub(super) table: u64,
    /// How long the last part is.
    pub(super) table_len: u64,
    /// What code offsets count from.
    pub(super) text: u64,
    /// `runtime.firstmoduledata`.
    pub(super) moduledata: VirtAddr,
}

/// A header whose numbers fit together.
#[derive(Clone, Copy, Debug)]
struct Header {
    magic: u32,
    address: u64,
    functions: u32,
    names: u64,
    files_by_unit: u64,
    files: u64,
    pc_values: u64,
    table: u64,
}

impl Pclntab {
    pub(super) fn find(source: &Source, elf: &Elf, relocations: &Relocations) -> Result<Self, BinaryError> {
        let mut found: Vec<Self> = Vec::new();
        for header in headers(source, elf)? {
            for moduledata in module_data(source, elf, relocations, &header)? {
                if let Some(table) = prove(source, elf, relocations, &header, moduledata)? {
                    found.push(table);
                }
            }
        }
        match found.len() {
            1 => found.pop().ok_or_else(|| source.malformed("no function table")),
            0 => Err(without_table(source, elf)),
            _ => Err(source.malformed("more than one function table")),
        }
    }
}

/// More places that look like a header, or like the module data of one, than any program has by chance.
const MOST: usize = 64;

/// More places that begin like a header than any program has by chance.
const MOST_TRIES: usize = 4096;

/// Every place that looks like a table's header.
fn headers(source: &Source, elf: &Elf) -> Result<Vec<Header>, BinaryError> {
    // Behind the first byte of the magic: three bytes ff, two zeros, the instruction size, the pointer size.
    let quantum = if elf.machine == Machine::X86_64 { 1 } else { 4 };
    let needle = [0xff, 0xff, 0xff, 0, 0, quantum, 8];
    let mut headers = Vec::new();
    let mut tries = 0;
    for segment in &elf.segments {
        let end = segment.offset.saturating_add(segment.file_size);
        source.search(segment.offset, end, &needle, |offset| {
            tries += 1;
            if let Some(header) = offset.checked_sub(1).and_then(|offset| header(source, segment, offset)) {
                headers.push(header);
            }
            (headers.len() >= MOST || tries >= MOST_TRIES).then_some(())
        })?;
    }
    Ok(headers)
}

fn header(source: &Source, segment: &Segment, offset: u64) -> Option<Header> {
    let bytes = source.bytes(offset, HEADER).ok()?;
    let magic = u32_at(&bytes, 0)?;
    if magic != layout::MAGIC_118 && magic != layout::MAGIC_120 {
        return None;
    }
    let into = offset.checked_sub(segment.offset)?;
    let room = segment.file_size.checked_sub(into)?;
    let word = |index: usize| u64_at(&bytes, 8 + 8 * index);
    let header = Header {
        magic,
        address: segment.address.checked_add(into)?,
        functions: u32::try_from(word(0)?).ok()?,
        names: word(3)?,
        files_by_unit: word(4)?,
        files: word(5)?,
        pc_values: word(6)?,
        table: word(7)?,
    };
    let parts =
        [HEADER, header.names, header.files_by_unit, header.files, header.pc_values, header.table, room];
    let ordered = parts.is_sorted();
    // Each function has an entry of eight bytes and a record, and the table ends with one more offset.
    let fits = u64::from(header.functions) * (8 + layout::func(magic).size as u64) + 4
        <= room - header.table.min(room);
    (ordered && fits && header.functions > 0 && header.address.is_multiple_of(8)).then_some(header)
}

/// The places that hold the table's address and, behind it, that of its names: `moduledata`'s first words.
fn module_data(
    source: &Source,
    elf: &Elf,
    relocations: &Relocations,
    header: &Header,
) -> Result<Vec<VirtAddr>, BinaryError> {
    let names = header.address.wrapping_add(header.names);
    let mut needle = header.address.to_le_bytes().to_vec();
    needle.extend_from_slice(&names.to_le_bytes());
    let mut found = Vec::new();
    for segment in elf.segments.iter().filter(|segment| segment.writable) {
        let end = segment.offset.saturating_add(segment.file_size);
        source.search(segment.offset, end, &needle, |offset| {
            let address = segment.address.wrapping_add(offset - segment.offset);
            if address.is_multiple_of(8) {
                found.push(VirtAddr(address));
            }
            (found.len() >= MOST).then_some(())
        })?;
    }
    if found.is_empty() {
        // Position independent code may keep the addresses in its relocations only.
        found.extend(relocations.pairs(header.address, names).take(MOST));
    }
    Ok(found)
}

/// The module data must tell the same story as the table that it points to.
fn prove(
    source: &Source,
    elf: &Elf,
    relocations: &Relocations,
    header: &Header,
    address: VirtAddr,
) -> Result<Option<Pclntab>, BinaryError> {
    let Ok(bytes) = relocations.apply(source, elf, address, moduledata::SIZE) else { return Ok(None) };
    let word = |at| u64_at(&bytes, at).unwrap_or(0);
    let table = header.address.wrapping_add(header.table);
    let (table_len, text) = (word(moduledata::PCLNTABLE + 8), word(moduledata::TEXT));
    let (min_pc, max_pc) = (word(moduledata::MINPC), word(moduledata::MAXPC));
    let in_code = |address| elf.segment_of(VirtAddr(address)).is_some_and(|segment| segment.executable);
    let consistent = word(moduledata::PCLNTABLE) == table
        && word(moduledata::FTAB) == table
        && word(moduledata::FTAB + 8) == u64::from(header.functions) + 1
        && text <= min_pc
        && min_pc < max_pc
        && in_code(text)
        && in_code(min_pc)
        && elf.bytes(source, VirtAddr(table), table_len.min(1)).is_ok();
    if !consistent {
        return Ok(None);
    }
    let room =
        elf.segment_of(VirtAddr(table)).map_or(0, |segment| segment.file_size - (table - segment.address));
    if table_len > room {
        return Ok(None);
    }
    let Header { magic, address: of_table, functions, names, files_by_unit, files, pc_values, table } =
        *header;
    Ok(Some(Pclntab {
        magic,
        address: of_table,
        functions,
        names,
        files_by_unit,
        files,
        pc_values,
        table,
        table_len,
        text,
        moduledata: address,
    }))
}

/// No table was found: is it another Go's, or no Go program at all?
fn without_table(source: &Source, elf: &Elf) -> BinaryError {
    let path = || source.path.clone();
    match super::build_info::read(source, elf) {
        Err(error) => error,
        Ok(Some((version, _))) if version.minor() < *layout::KNOWN.start() => {
            BinaryError::TooOld { path: path(), version: version.to_string() }
        }
        Ok(Some((version, _))) => source.unsupported(format!(
            "built by {version}, but its function table is of no known form; packed or encrypted programs \
             have to be unpacked first"
        )),
        Ok(None) if is_packed(source) => source.unsupported("packed with UPX: unpack it first (upx -d)"),
        Ok(None) if has_old_table(source, elf) => {
            BinaryError::TooOld { path: path(), version: "a Go before 1.18".to_owned() }
        }
        Ok(None) => BinaryError::NotGo { path: path() },
    }
}

/// UPX leaves its name between the headers and what it unpacks itself with.
fn is_packed(source: &Source) -> bool {
    const BEGIN: u64 = 1024;
    let begin = source.bytes(0, source.len.min(BEGIN)).unwrap_or_default();
    memchr::memmem::find(&begin, b"UPX!").is_some()
}

fn has_old_table(source: &Source, elf: &Elf) -> bool {
    let quantum = if elf.machine == Machine::X86_64 { 1 } else { 4 };
    [layout::MAGIC_12, layout::MAGIC_116].iter().any(|magic| {
        let mut needle = magic.to_le_bytes().to_vec();
        needle.extend_from_slice(&[0, 0, quantum, 8]);
        elf.segments.iter().any(|segment| {
            let end = segment.offset.saturating_add(segment.file_size);
            let found = source
                .search(segment.offset, end, &needle, |offset| (offset.is_multiple_of(8)).then_some(()));
            found.is_ok_and(|found| found.is_some())
        })
    })
}
