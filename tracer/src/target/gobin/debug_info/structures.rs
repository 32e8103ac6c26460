//! The runtime's structures in a Go program's debug information. Also read by `cargo xtask offsets`.
//!
//! Go's linker describes all types in one unit, which is called `runtime`; the others are skipped. It writes names and
//! references so that `.debug_info` and `.debug_abbrev` are all that is needed. Whatever is in them is hostile input.

use std::collections::HashMap;
use std::io::{self, Read};

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugInfo, DebugInfoOffset, DebuggingInformationEntry,
    EndianSlice, LittleEndian, UnitHeader, UnitOffset,
};
use thiserror::Error;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// More `.debug_info`, in bytes, than any program has. It takes about a second to go through.
const MOST_INFO: u64 = 256 << 20;

/// A unit with more bytes is not looked at: Go's largest programs describe their types in about 10 MB.
const MOST_UNIT: u64 = 40 << 20;

/// More entries than that unit has.
const MOST_ENTRIES: usize = 8 << 20;

/// More units than are called `runtime`, one for each of its assembly files.
const MOST_CALLED_RUNTIME: usize = 256;

/// More types than the package `runtime` has.
const MOST_STRUCTURES: usize = 1 << 14;

/// More members than a structure has, and more names for one type.
const MOST_MEMBERS: usize = 4096;
const MOST_NAMES: usize = 16;

/// A unit's name is one of the first things that it has.
const HEAD: usize = 512;

/// Debug information that tells nothing of the runtime's structures.
#[derive(Debug, Error)]
pub(crate) enum StructuresError {
    /// It cannot be read, or not be decompressed.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is damaged.
    #[error("it is damaged: {0}")]
    Damaged(#[from] gimli::Error),
    /// It has no such unit, or more than any program has.
    #[error("it does not describe the runtime")]
    Nothing,
}

/// The structures of the package `runtime`.
pub(crate) struct Structures {
    /// The unit that describes them, and where it begins in `.debug_info`.
    unit: Vec<u8>,
    begins: u64,
    abbreviations: Abbreviations,
    /// Where in the unit a structure is described.
    named: HashMap<String, usize>,
}

impl Structures {
    /// Reads `.debug_info` as far as the unit that has the types; `abbreviations` are those of `.debug_abbrev`.
    ///
    /// # Errors
    /// When there is no such unit, or what is read is damaged.
    pub(crate) fn read(info: impl Read, abbreviations: &[u8]) -> Result<Self, StructuresError> {
        let mut info = info.take(MOST_INFO);
        let abbreviations = DebugAbbrev::new(abbreviations, LittleEndian);
        let (mut begins, mut tried) = (0, 0);
        loop {
            let mut unit = vec![0; 4];
            if info.read(&mut unit[..1])? == 0 {
                return Err(StructuresError::Nothing);
            }
            info.read_exact(&mut unit[1..])?;
            let len =
                u64::from(unit.iter().rev().fold(0, |number: u32, byte| number << 8 | u32::from(*byte)));
            // From there on it would be the 64-bit format, which Go writes for no program that can be run.
            if len >= 0xffff_fff0 {
                return Err(StructuresError::Nothing);
            }
            read_up_to(&mut info, HEAD as u64, len, &mut unit)?;
            let is_meant = len <= MOST_UNIT && memchr::memmem::find(&unit, b"runtime\0").is_some();
            if is_meant {
                tried += 1;
                if tried > MOST_CALLED_RUNTIME {
                    return Err(StructuresError::Nothing);
                }
                let rest = len.saturating_sub(HEAD as u64);
                read_up_to(&mut info, rest, rest, &mut unit)?;
                if let Some(found) = Self::of_unit(unit, begins, &abbreviations)? {
                    return Ok(found);
                }
            } else {
                let rest = len.saturating_sub(HEAD as u64);
                let skipped = io::copy(&mut info.by_ref().take(rest), &mut io::sink())?;
                if skipped < rest {
                    return Err(StructuresError::Nothing);
                }
            }
            begins += 4 + len;
        }
    }

    /// Of the unit, if it is the one.
    fn of_unit(
        unit: Vec<u8>,
        begins: u64,
        abbreviations: &DebugAbbrev<Slice<'_>>,
    ) -> Result<Option<Self>, StructuresError> {
        let header = header(&unit)?;
        let abbreviations = header.abbreviations(abbreviations)?;
        let mut entries = header.entries(&abbreviations);
        let mut named = HashMap::new();
        let mut count = 0;
        while let Some(entry) = entries.next_dfs()? {
            count += 1;
            if count == 1 && name(entry) != Some("runtime") {
                return Ok(None);
            }
            if count > MOST_ENTRIES || named.len() > MOST_STRUCTURES {
                return Err(StructuresError::Nothing);
            }
            if entry.tag() == gimli::DW_TAG_structure_type
                && let Some(name) = name(entry).filter(|name| name.starts_with("runtime."))
            {
                named.entry(name.to_owned()).or_insert(entry.offset().0);
            }
        }
        let is_it = named.contains_key("runtime.g");
        Ok(is_it.then_some(Self { unit, begins, abbreviations, named }))
    }

    /// How large a structure is, in bytes.
    pub(crate) fn size(&self, structure: &str) -> Option<u64> {
        let header = header(&self.unit).ok()?;
        let at = UnitOffset(*self.named.get(structure)?);
        let mut entries = header.entries_at_offset(&self.abbreviations, at).ok()?;
        entries.next_dfs().ok()??.attr_value(gimli::DW_AT_byte_size)?.udata_value()
    }

    /// Where a member is in a structure, also one of a member of it: `sched.sp`.
    pub(crate) fn member(&self, structure: &str, path: &str) -> Option<u64> {
        let mut place = *self.named.get(structure)?;
        let mut sum: u64 = 0;
        for name in path.split('.') {
            let (at, of) = self.member_of(place, name)?;
            sum = sum.checked_add(at)?;
            place = of;
        }
        Some(sum)
    }

    /// Where a member is in the structure that is described at that place of the unit, and where its type is described.
    fn member_of(&self, mut place: usize, member: &str) -> Option<(u64, usize)> {
        let header = header(&self.unit).ok()?;
        for _ in 0..MOST_NAMES {
            let mut entries = header.entries_at_offset(&self.abbreviations, UnitOffset(place)).ok()?;
            let first = entries.next_dfs().ok()??;
            let depth = first.depth();
            match first.tag() {
                gimli::DW_TAG_typedef => place = self.type_of(first)?,
                gimli::DW_TAG_structure_type => {
                    for _ in 0..MOST_MEMBERS {
                        let entry = entries.next_dfs().ok()??;
                        if entry.depth() <= depth {
                            return None;
                        }
                        if entry.tag() == gimli::DW_TAG_member && name(entry) == Some(member) {
                            let at = entry.attr_value(gimli::DW_AT_data_member_location)?.udata_value()?;
                            return Some((at, self.type_of(entry)?));
                        }
                    }
                    return None;
                }
                _ => return None,
            }
        }
        None
    }

    /// Where in the unit an entry's type is described.
    fn type_of(&self, entry: &DebuggingInformationEntry<Slice<'_>>) -> Option<usize> {
        match entry.attr_value(gimli::DW_AT_type)? {
            AttributeValue::DebugInfoRef(DebugInfoOffset(place)) => {
                usize::try_from((place as u64).checked_sub(self.begins)?).ok()
            }
            AttributeValue::UnitRef(UnitOffset(place)) => Some(place),
            _ => None,
        }
    }
}

fn header(unit: &[u8]) -> Result<UnitHeader<Slice<'_>>, StructuresError> {
    DebugInfo::new(unit, LittleEndian).units().next()?.ok_or(StructuresError::Nothing)
}

/// Go's linker writes names where they are used.
fn name<'a>(entry: &DebuggingInformationEntry<Slice<'a>>) -> Option<&'a str> {
    match entry.attr_value(gimli::DW_AT_name)? {
        AttributeValue::String(name) => std::str::from_utf8(name.slice()).ok(),
        _ => None,
    }
}

/// Reads `most` bytes or up to the unit's end, which is `left` away.
fn read_up_to(info: &mut impl Read, most: u64, left: u64, unit: &mut Vec<u8>) -> Result<(), StructuresError> {
    let len = most.min(left);
    if info.by_ref().take(len).read_to_end(unit)? as u64 == len {
        Ok(())
    } else {
        Err(StructuresError::Nothing)
    }
}
