//! The ELF container: segments and how the program is linked. Sections only tell what was stripped.

use object::LittleEndian as LE;
use object::elf;
use object::elf::{Dyn64, FileHeader64, ProgramHeader64, SectionHeader64};
use object::pod::slice_from_bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::debug_info::Section;
use super::error::BinaryError;
use super::source::Source;
use super::{Machine, VirtAddr};
use crate::units::FileOffset;

/// More program headers than any linker writes.
const MOST_SEGMENTS: u16 = 256;

/// More dynamic entries than any linker writes.
const MOST_DYNAMIC: usize = 4096;

/// A program's code and data reach each other by distances of 32 bits with a sign, so they are no larger.
const MOST_LOADED: u64 = 1 << 31;

/// A loaded segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) file_size: u64,
    pub(super) executable: bool,
    pub(super) writable: bool,
}

/// How a program is linked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Linking {
    /// Position independent: loaded at an address that the kernel chooses.
    pub pie: bool,
    /// The dynamic linker that starts it; none for a static program.
    pub interpreter: Option<String>,
    /// The shared libraries that it names.
    pub libraries: Vec<String>,
    /// Whether C code is linked in, as far as the build information or the functions tell.
    pub cgo: bool,
    /// Whether the symbol table was stripped.
    pub stripped: bool,
    /// Whether there is DWARF debugging information.
    pub dwarf: bool,
}

/// What the ELF headers say.
#[derive(Debug)]
pub(super) struct Elf {
    pub(super) machine: Machine,
    pub(super) entry: VirtAddr,
    pub(super) segments: Vec<Segment>,
    pub(super) linking: Linking,
    /// The relocations with addends: address and size of the table.
    pub(super) rela: Option<(u64, u64)>,
    /// Where the file keeps notes: offset and size of each block.
    pub(super) notes: Vec<(u64, u64)>,
    /// `.debug_info` and `.debug_abbrev`.
    pub(super) debug: [Option<Section>; 2],
}

impl Elf {
    pub(super) fn read(source: &Source) -> Result<Self, BinaryError> {
        let header = file_header(source)?;
        let machine = match header.e_machine.get(LE) {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Aarch64,
            other => return Err(foreign(source, machine_name(other))),
        };
        let pie = match header.e_type.get(LE) {
            elf::ET_EXEC => false,
            elf::ET_DYN => true,
            _ => {
                return Err(BinaryError::NotElf {
                    path: source.path.clone(),
                    found: "an ELF file, but not executable",
                });
            }
        };
        let programs = program_headers(source, &header)?;
        let segments = loaded_segments(source, &programs)?;
        let mut elf = Self {
            machine,
            entry: VirtAddr(header.e_entry.get(LE)),
            segments,
            linking: Linking {
                pie,
                interpreter: None,
                libraries: Vec::new(),
                cgo: false,
                stripped: true,
                dwarf: false,
            },
            rela: None,
            notes: programs
                .iter()
                .filter(|program| program.p_type.get(LE) == elf::PT_NOTE)
                .map(extent)
                .collect(),
            debug: [None; 2],
        };
        // The kernel and the dynamic linker look at one of each.
        let only = |kind| programs.iter().find(|program| program.p_type.get(LE) == kind).map(extent);
        if let Some((offset, size)) = only(elf::PT_INTERP).filter(|(_, size)| *size <= 4096) {
            elf.linking.interpreter = Some(text(&source.bytes(offset, size)?));
        }
        if let Some((offset, size)) = only(elf::PT_DYNAMIC) {
            elf.read_dynamic(source, offset, size)?;
        }
        elf.read_sections(source, &header);
        Ok(elf)
    }

    /// Where the file keeps the byte at that address.
    pub(super) fn offset_of(&self, address: VirtAddr) -> Option<FileOffset> {
        let segment = self.segment_of(address)?;
        Some(FileOffset(segment.offset + (address.0 - segment.address)))
    }

    /// The segment whose bytes in the file hold that address.
    pub(super) fn segment_of(&self, address: VirtAddr) -> Option<&Segment> {
        self.segments.iter().find(|segment| {
            address.0.checked_sub(segment.address).is_some_and(|into| into < segment.file_size)
        })
    }

    /// Bytes by address. Whoever asks for more than the segment's bytes in the file gets an error.
    pub(super) fn bytes(&self, source: &Source, address: VirtAddr, len: u64) -> Result<Vec<u8>, BinaryError> {
        let segment =
            self.segment_of(address).ok_or_else(|| source.malformed("an address outside its segments"))?;
        let into = address.0 - segment.address;
        if len > segment.file_size - into {
            return Err(source.malformed("a table that reaches beyond its segment"));
        }
        source.bytes(segment.offset.saturating_add(into), len)
    }

    fn read_dynamic(&mut self, source: &Source, offset: u64, size: u64) -> Result<(), BinaryError> {
        let entry = size_of::<Dyn64<LE>>();
        let count = usize::try_from(size).unwrap_or(usize::MAX) / entry;
        let bytes = source.bytes(offset, (count.min(MOST_DYNAMIC) * entry) as u64)?;
        let Ok((entries, _)) = slice_from_bytes::<Dyn64<LE>>(&bytes, bytes.len() / entry) else {
            return Ok(());
        };
        let entries = entries.iter().take_while(|entry| entry.d_tag.get(LE) != elf::DT_NULL);
        let (mut address, mut length, mut strings, mut needed) = (None, None, None, Vec::new());
        for entry in entries {
            let value = entry.d_val.get(LE);
            match entry.d_tag.get(LE) {
                elf::DT_RELA => address = Some(value),
                elf::DT_RELASZ => length = Some(value),
                elf::DT_STRTAB => strings = Some(value),
                elf::DT_NEEDED => needed.push(value),
                _ => {}
            }
        }
        self.rela = address.zip(length);
        if let Some(strings) = strings {
            for name in needed {
                let Some(offset) = self.offset_of(VirtAddr(strings.saturating_add(name))) else { continue };
                let len = 256.min(source.len.saturating_sub(offset.0));
                self.linking.libraries.push(text(&source.bytes(offset.0, len)?));
            }
        }
        Ok(())
    }

    /// Sections are optional in a program, so whatever is wrong with them means only that there are none.
    fn read_sections(&mut self, source: &Source, header: &FileHeader64<LE>) {
        let (count, each) = (u64::from(header.e_shnum.get(LE)), u64::from(header.e_shentsize.get(LE)));
        if each != size_of::<SectionHeader64<LE>>() as u64 {
            return;
        }
        let Ok(bytes) = source.bytes(header.e_shoff.get(LE), count * each) else { return };
        let Ok((sections, _)) =
            slice_from_bytes::<SectionHeader64<LE>>(&bytes, usize::from(header.e_shnum.get(LE)))
        else {
            return;
        };
        self.linking.stripped = !sections.iter().any(|section| section.sh_type.get(LE) == elf::SHT_SYMTAB);
        // Go's linker leaves the GNU build ID out of the segment of notes.
        let notes = sections.iter().filter(|section| section.sh_type.get(LE) == elf::SHT_NOTE);
        self.notes.extend(notes.map(|section| (section.sh_offset.get(LE), section.sh_size.get(LE))));
        let names = sections.get(usize::from(header.e_shstrndx.get(LE)));
        let names = names.and_then(|section| {
            let len = section.sh_size.get(LE).min(1 << 20);
            source.bytes(section.sh_offset.get(LE), len).ok()
        });
        let Some(names) = names else { return };
        let named = |wanted: &[u8]| {
            sections.iter().find(|section| {
                let name = names.get(section.sh_name.get(LE) as usize..).unwrap_or_default();
                name.starts_with(wanted)
            })
        };
        self.debug = [named(b".debug_info\0"), named(b".debug_abbrev\0")].map(|section| {
            let section = section.filter(|section| section.sh_type.get(LE) != elf::SHT_NOBITS)?;
            Some(Section {
                offset: section.sh_offset.get(LE),
                size: section.sh_size.get(LE),
                compressed: section.sh_flags.get(LE) & u64::from(elf::SHF_COMPRESSED) != 0,
            })
        });
        self.linking.dwarf = named(b".debug_info\0").or_else(|| named(b".zdebug_info\0")).is_some();
    }
}

fn file_header(source: &Source) -> Result<FileHeader64<LE>, BinaryError> {
    let not_elf = |found| BinaryError::NotElf { path: source.path.clone(), found };
    let len = (size_of::<FileHeader64<LE>>() as u64).min(source.len);
    let bytes = source.bytes(0, len)?;
    if bytes.starts_with(b"#!") {
        return Err(not_elf("it is a script; name the program that it starts"));
    }
    if bytes.get(..4) != Some(b"\x7fELF") {
        return Err(not_elf(if bytes.is_empty() { "it is empty" } else { "it does not begin like one" }));
    }
    match (bytes.get(4), bytes.get(5)) {
        (Some(&elf::ELFCLASS32), _) => return Err(foreign(source, "a 32-bit program".to_owned())),
        (_, Some(&elf::ELFDATA2MSB)) => return Err(foreign(source, "a big-endian program".to_owned())),
        _ => {}
    }
    let header =
        slice_from_bytes::<FileHeader64<LE>>(&bytes, 1).ok().and_then(|(header, _)| header.first().copied());
    header.ok_or_else(|| not_elf("it ends within its header"))
}

fn program_headers(
    source: &Source,
    header: &FileHeader64<LE>,
) -> Result<Vec<ProgramHeader64<LE>>, BinaryError> {
    let count = header.e_phnum.get(LE);
    let each = size_of::<ProgramHeader64<LE>>();
    if count > MOST_SEGMENTS || usize::from(header.e_phentsize.get(LE)) != each {
        return Err(source.malformed("program headers of no known form"));
    }
    let bytes = source.bytes(header.e_phoff.get(LE), u64::from(count) * each as u64)?;
    match slice_from_bytes::<ProgramHeader64<LE>>(&bytes, usize::from(count)) {
        Ok((headers, _)) => Ok(headers.to_vec()),
        Err(()) => Err(source.malformed("program headers of no known form")),
    }
}

/// The loaded segments, each proven to lie within the file and the address space, and together hardly larger
/// than the file: whatever searches them all takes no longer than reading the file twice.
fn loaded_segments(source: &Source, programs: &[ProgramHeader64<LE>]) -> Result<Vec<Segment>, BinaryError> {
    let loaded = programs.iter().filter(|program| program.p_type.get(LE) == elf::PT_LOAD);
    let segments: Vec<Segment> = loaded.map(segment).collect();
    let mut total = 0_u64;
    for Segment { address, offset, file_size, .. } in &segments {
        if offset.checked_add(*file_size).is_none_or(|end| end > source.len) {
            return Err(
                source.malformed("a segment that reaches beyond the end of the file: it was cut short")
            );
        }
        if address.checked_add(*file_size).is_none() {
            return Err(source.malformed("a segment that reaches beyond the end of memory"));
        }
        total = total.saturating_add(*file_size);
    }
    if total > source.len.saturating_mul(2) {
        return Err(source.malformed("segments that overlap"));
    }
    if total > MOST_LOADED {
        return Err(source.malformed("segments larger than any program has"));
    }
    Ok(segments)
}

/// Where its bytes are in the file, and how many.
fn extent(program: &ProgramHeader64<LE>) -> (u64, u64) {
    (program.p_offset.get(LE), program.p_filesz.get(LE))
}

fn segment(program: &ProgramHeader64<LE>) -> Segment {
    let flags = program.p_flags.get(LE);
    Segment {
        address: program.p_vaddr.get(LE),
        offset: program.p_offset.get(LE),
        file_size: program.p_filesz.get(LE),
        executable: flags & elf::PF_X != 0,
        writable: flags & elf::PF_W != 0,
    }
}

fn foreign(source: &Source, found: String) -> BinaryError {
    BinaryError::ForeignElf { path: source.path.clone(), found }
}

fn machine_name(machine: u16) -> String {
    let name = match machine {
        elf::EM_386 => "x86",
        elf::EM_ARM => "32-bit Arm",
        elf::EM_RISCV => "RISC-V",
        elf::EM_PPC64 => "PowerPC",
        elf::EM_S390 => "IBM Z",
        elf::EM_MIPS => "MIPS",
        elf::EM_LOONGARCH => "LoongArch",
        other => return format!("a program for machine {other}"),
    };
    format!("a program for {name}")
}

fn text(bytes: &[u8]) -> String {
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a file are in a `Vec<u8>`, which nothing aligns. object 0.39 reads its headers from any
    /// address; before, its feature `unaligned` decided.
    #[test]
    fn headers_are_read_at_any_address() {
        let bytes = [0; 1024];
        for at in 0..8 {
            let from = &bytes[at..];
            assert!(slice_from_bytes::<FileHeader64<LE>>(from, 1).is_ok(), "{at}");
            assert!(slice_from_bytes::<ProgramHeader64<LE>>(from, 2).is_ok(), "{at}");
            assert!(slice_from_bytes::<SectionHeader64<LE>>(from, 2).is_ok(), "{at}");
            assert!(slice_from_bytes::<Dyn64<LE>>(from, 2).is_ok(), "{at}");
        }
    }
}
