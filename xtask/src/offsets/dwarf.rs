//! Structures in a Go program's debug information.

use std::borrow::Cow;
use std::collections::HashMap;

use anyhow::{Context as _, Result};
use gimli::{AttributeValue, DebugInfoOffset, DwarfSections, EndianSlice, LittleEndian, SectionId, Unit};
use object::{Object as _, ObjectSection as _};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The structures of a program, and the names of types that stand for others.
#[derive(Default)]
pub(super) struct Structures {
    by_place: HashMap<usize, Structure>,
    /// What a `typedef` is of.
    same_as: HashMap<usize, usize>,
    by_name: HashMap<String, usize>,
}

#[derive(Default)]
struct Structure {
    size: u64,
    members: HashMap<String, Member>,
}

struct Member {
    at: u64,
    of: usize,
}

impl Structures {
    pub(super) fn read(program: &[u8]) -> Result<Self> {
        let file = object::File::parse(program).context("reading an ELF file")?;
        let section = |id: SectionId| -> Result<Cow<'_, [u8]>> {
            let Some(section) = file.section_by_name(id.name()) else { return Ok(Cow::Borrowed(&[])) };
            section.uncompressed_data().with_context(|| format!("unpacking {}", id.name()))
        };
        let sections = DwarfSections::load(section)?;
        let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, LittleEndian));
        let mut found = Self::default();
        let mut units = dwarf.units();
        while let Some(header) = units.next()? {
            let unit = dwarf.unit(header)?;
            found.add(&dwarf, &unit)?;
        }
        Ok(found)
    }

    fn add(&mut self, dwarf: &gimli::Dwarf<Slice<'_>>, unit: &Unit<Slice<'_>>) -> Result<()> {
        let mut entries = unit.entries();
        let mut current: Option<(isize, usize)> = None;
        while let Some(entry) = entries.next_dfs()? {
            let name = || {
                let text = dwarf.attr_string(unit, entry.attr_value(gimli::DW_AT_name)?).ok()?;
                Some(text.to_string().ok()?.to_owned())
            };
            let number = |attribute| entry.attr_value(attribute)?.udata_value();
            let place = entry.offset().to_debug_info_offset(&unit.header).map_or(0, |offset| offset.0);
            let depth = entry.depth();
            if current.is_some_and(|(at, _)| depth <= at) {
                current = None;
            }
            match entry.tag() {
                gimli::DW_TAG_structure_type => {
                    let size = number(gimli::DW_AT_byte_size).unwrap_or(0);
                    self.by_place.insert(place, Structure { size, ..Structure::default() });
                    self.by_name.extend(name().map(|name| (name, place)));
                    current = Some((depth, place));
                }
                gimli::DW_TAG_typedef => {
                    self.same_as.extend(type_of(unit, entry).map(|of| (place, of)));
                }
                gimli::DW_TAG_member => {
                    let Some((_, structure)) = current else { continue };
                    let Some(structure) = self.by_place.get_mut(&structure) else { continue };
                    if let (Some(name), Some(at), Some(of)) =
                        (name(), number(gimli::DW_AT_data_member_location), type_of(unit, entry))
                    {
                        structure.members.insert(name, Member { at, of });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// How large a structure is, in bytes.
    pub(super) fn size(&self, structure: &str) -> Option<u64> {
        Some(self.by_place.get(self.by_name.get(structure)?)?.size)
    }

    /// Where a member is in a structure, also one of a member of it: `sched.sp`.
    pub(super) fn member(&self, structure: &str, path: &str) -> Option<u64> {
        let mut place = *self.by_name.get(structure)?;
        let mut sum = 0;
        for name in path.split('.') {
            while let Some(same) = self.same_as.get(&place) {
                place = *same;
            }
            let Member { at, of } = self.by_place.get(&place)?.members.get(name)?;
            sum += at;
            place = *of;
        }
        Some(sum)
    }
}

/// Where an entry's type is described.
fn type_of(unit: &Unit<Slice<'_>>, entry: &gimli::DebuggingInformationEntry<Slice<'_>>) -> Option<usize> {
    match entry.attr_value(gimli::DW_AT_type)? {
        AttributeValue::DebugInfoRef(DebugInfoOffset(place)) => Some(place),
        AttributeValue::UnitRef(within) => within.to_debug_info_offset(&unit.header).map(|offset| offset.0),
        _ => None,
    }
}
