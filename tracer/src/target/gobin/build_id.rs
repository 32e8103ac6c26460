//! Which build a binary is, by the identifiers that linkers leave in notes (elf(5), `Nhdr`).

use std::fs::File;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::GoBinary;
use super::elf::Elf;
use super::source::{Source, u32_at};
use crate::units::{FileOffset, VirtAddr};

/// `NT_GNU_BUILD_ID` of the owner `GNU` (elf.h), and the type of Go's own (cmd/internal/buildid/note.go).
const GNU: (&[u8], u32) = (b"GNU\0", 3);
const GO: (&[u8], u32) = (b"Go\0\0", 4);

/// More notes, and longer ones, than linkers write.
const MOST_NOTES: usize = 64;
const LONGEST: u64 = 1 << 16;

/// The part of the file that holds the program's code, as profilers name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeSegment {
    /// Where it begins, as the binary states it.
    pub start: VirtAddr,
    /// Where it ends.
    pub end: VirtAddr,
    /// Where it is in the file.
    pub offset: FileOffset,
    /// The GNU build ID in hexadecimal digits, else Go's own; none when the linker left neither.
    pub build_id: Option<String>,
}

impl GoBinary {
    /// The part of the file that holds Go's code.
    #[must_use]
    pub fn code_segment(&self) -> Option<CodeSegment> {
        let segment = self.elf.segment_of(VirtAddr(self.pclntab.text))?;
        Some(CodeSegment {
            start: VirtAddr(segment.address),
            end: VirtAddr(segment.address.checked_add(segment.file_size)?),
            offset: FileOffset(segment.offset),
            build_id: build_id(&self.source, &self.elf.notes),
        })
    }
}

/// Whether a file carries the note of Go's linker: by its headers alone, for who cannot wait until it was read. Few programs of
/// Go's go without, linked with `-buildid=`; what carries it may be something else all the same.
#[must_use]
pub fn carries_go_note(file: &File) -> bool {
    let source = file.try_clone().ok().and_then(|file| Source::from_file(file, PathBuf::new()).ok());
    source.is_some_and(|source| {
        let elf = Elf::read(&source);
        elf.is_ok_and(|elf| blocks(&source, &elf.notes).iter().any(|block| description(block, GO).is_some()))
    })
}

/// What is in the notes, which the file has in these places.
fn blocks(source: &Source, notes: &[(u64, u64)]) -> Vec<Vec<u8>> {
    let read = |(offset, size): &(u64, u64)| source.bytes(*offset, (*size).min(LONGEST)).ok();
    notes.iter().take(MOST_NOTES).filter_map(read).collect()
}

fn build_id(source: &Source, notes: &[(u64, u64)]) -> Option<String> {
    let blocks = blocks(source, notes);
    let find = |kind| blocks.iter().find_map(|block| description(block, kind));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    find(GNU).map(hex).or_else(|| find(GO).map(|id| String::from_utf8_lossy(id).into_owned()))
}

/// What the note of that owner and type says.
fn description<'a>(mut block: &'a [u8], (owner, kind): (&[u8], u32)) -> Option<&'a [u8]> {
    loop {
        let [name, length, found] = [u32_at(block, 0)?, u32_at(block, 4)?, u32_at(block, 8)?];
        let (name, length) = (usize::try_from(name).ok()?, usize::try_from(length).ok()?);
        let begin = 12_usize.checked_add(name.checked_next_multiple_of(4)?)?;
        let end = begin.checked_add(length)?;
        if found == kind && block.get(12..12 + name) == Some(owner) {
            return block.get(begin..end).filter(|id| !id.is_empty());
        }
        block = block.get(end.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(owner: &[u8], kind: u32, description: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for word in [u32::try_from(owner.len()).unwrap(), u32::try_from(description.len()).unwrap(), kind] {
            note.extend_from_slice(&word.to_le_bytes());
        }
        for part in [owner, description] {
            note.extend_from_slice(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn what_go_did_not_link_carries_no_note_of_it() {
        for path in ["/bin/true", "/dev/null", "/proc/self/exe"] {
            assert!(!carries_go_note(&File::open(path).unwrap()), "{path}");
        }
    }

    #[test]
    fn a_note_is_found_behind_others_and_a_cut_one_is_none() {
        let block = [note(b"stapsdt\0", 3, b"12345"), note(b"Go\0\0", 4, b"a/b/c")].concat();
        assert_eq!(description(&block, GO), Some(&b"a/b/c"[..]));
        assert_eq!(description(&block, GNU), None);
        for len in 0..block.len() - 3 {
            assert_eq!(description(&block[..len], GO), None, "{len}");
        }
        assert_eq!(description(&[0xff; 64], GNU), None);
        assert_eq!(description(&[0; 64], GNU), None, "empty notes end");
    }
}
