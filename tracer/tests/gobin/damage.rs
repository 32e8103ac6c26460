//! Real programs, damaged by chance.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use gotrace::target::gobin::{GoBinary, LayoutSource};
use object::{Object as _, ObjectSection as _};

use crate::effort::Effort;
use crate::image::Image;
use crate::support::{Fixture, fixtures};
use crate::{memory, walk};

/// More than this no file may cost beside its own size, which is what damage can make a table say.
const MEMORY: usize = 64 << 20;

/// A generator that gives the same numbers on every machine.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        usize::try_from(number).expect("a number") % end
    }

    /// A place in one of them, each of which has a begin and a length.
    fn within(&mut self, parts: &[(usize, usize)]) -> usize {
        let (from, len) = parts[self.below(parts.len())];
        from + self.below(len)
    }

    /// What damage makes of a byte.
    fn instead_of(&mut self, byte: u8) -> u8 {
        let extremes = [0, 0xff, 0x7f, 0x80, 1];
        match self.below(3) {
            0 => extremes[self.below(extremes.len())],
            1 => byte ^ (1 << self.below(8)),
            _ => u8::try_from(self.below(256)).expect("a byte"),
        }
    }
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn damage_to_real_programs_does_no_harm() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let programs = fixtures();
    let is_chosen = |fixture: &&Fixture| {
        fixture.name == "esbuild"
            || (fixture.program == "nethttp"
                && fixture.build == "pie"
                && fixture.go.as_deref() > Some("1.25"))
    };
    for fixture in programs.iter().filter(is_chosen) {
        let whole = fs::read(&fixture.path).expect("a program");
        let tables = tables(&whole);
        for round in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=numbers.below(64) {
                // Three times of four in the headers or in a table.
                let at = match numbers.below(4) {
                    0 => numbers.below(bytes.len()),
                    1 => numbers.below(1024),
                    _ => numbers.within(&tables),
                };
                bytes[at] = numbers.instead_of(bytes[at]);
            }
            survives(&fixture.name, &bytes, round);
        }
        for round in 0..100 {
            let len = numbers.below(whole.len());
            survives(&fixture.name, &whole[..len], round);
        }
    }
}

/// Of a program whose layouts are read from its own debug information: compressed, as the linker writes it, and not.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn damage_to_debug_information_does_no_harm() {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let program =
        fixtures().into_iter().find(|fixture| fixture.build == "lockranking").expect("such a build");
    let compressed = fs::read(&program.path).expect("a program");
    for whole in [decompressed(&compressed), compressed] {
        let sections = [".debug_info", ".debug_abbrev"].map(|name| section(&whole, name));
        let binary = walk::open(&whole).expect("a Go program");
        assert_eq!(binary.layout_source(), Some(LayoutSource::DebugInfo));
        for round in 0..40 {
            let mut bytes = whole.clone();
            for _ in 0..=numbers.below(64) {
                let at = numbers.within(&sections);
                bytes[at] = numbers.instead_of(bytes[at]);
            }
            survives(&program.name, &bytes, round);
        }
    }
}

/// Where a section is in the file, and how long it is there.
fn section(bytes: &[u8], name: &str) -> (usize, usize) {
    let file = object::File::parse(bytes).expect("an ELF file");
    let (from, len) = file.section_by_name(name).and_then(|section| section.file_range()).expect("a section");
    (usize::try_from(from).expect("small"), usize::try_from(len).expect("small"))
}

/// The same program with `.debug_info` at its end, as it was before it was compressed.
fn decompressed(bytes: &[u8]) -> Vec<u8> {
    let file = object::File::parse(bytes).expect("an ELF file");
    let section = file.section_by_name(".debug_info").expect("a section");
    let info = section.uncompressed_data().expect("what can be decompressed");
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    // `e_shoff`; then `sh_flags`, `sh_offset` and `sh_size` of that header (elf(5)).
    let header = usize::try_from(word(0x28)).expect("small") + 64 * section.index().0;
    let flags = word(header + 8) & !u64::from(object::elf::SHF_COMPRESSED);
    let mut changed = bytes.to_vec();
    for (at, value) in [(8, flags), (24, bytes.len() as u64), (32, info.len() as u64)] {
        changed[header + at..header + at + 8].copy_from_slice(&value.to_le_bytes());
    }
    changed.extend_from_slice(&info);
    changed
}

fn survives(name: &str, bytes: &[u8], round: usize) {
    let began = Effort::begin();
    let (_, peak) = memory::peak_of(|| walk::walk_bytes(bytes));
    assert!(began.spent() <= Duration::from_secs(2), "{name} {round}: {:?}", began.spent());
    assert!(peak <= MEMORY + bytes.len(), "{name} {round}: {peak} bytes");
}

/// Everything is asked of every real program at hand.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn real_programs_are_read_with_little_memory() {
    for fixture in fixtures() {
        let (walked, peak) = memory::peak_of(|| {
            let file = File::open(&fixture.path).expect("a program");
            GoBinary::from_file(file, fixture.path.clone()).map(|binary| walk::walk(&binary))
        });
        let size = fs::metadata(&fixture.path).expect("a size").len();
        assert!(peak <= MEMORY, "{}: {peak} bytes of memory for {size}: {walked:?}", fixture.name);
    }
}

/// A file may say that it is of any size, and take no room on the disk.
#[test]
fn a_file_of_nothing_is_read_with_little_memory() {
    let image = Image::default().bytes();
    for shift in [30, 34, 40] {
        for offset in [0, 1 << 20, (1 << shift) - image.len() as u64] {
            let file = tempfile::tempfile().expect("a file");
            file.set_len(1 << shift).expect("a file of nothing");
            file.write_all_at(&image, 0).expect("a file that can be written");
            file.write_all_at(&image, offset).expect("a file that can be written");
            let began = Effort::begin();
            let (_, peak) = memory::peak_of(|| {
                GoBinary::from_file(file, PathBuf::from("sparse")).map(|binary| walk::walk(&binary))
            });
            assert!(peak <= MEMORY, "{peak} bytes for 2^{shift} of nothing");
            assert!(began.spent() <= Duration::from_secs(10), "{:?} for 2^{shift}", began.spent());
        }
    }
    // The program headers tell of two GiB, all of which may have to be looked through.
    let mut headers = Image::default().bytes();
    let segment = |file: u64, address: u64| {
        let mut bytes = [1_u32.to_le_bytes(), 5_u32.to_le_bytes()].concat();
        for word in [file, address, address, 1 << 30, 1 << 30, 4096] {
            bytes.extend(u64::to_le_bytes(word));
        }
        bytes
    };
    headers.truncate(64);
    headers[56..58].copy_from_slice(&2_u16.to_le_bytes());
    headers[32..40].copy_from_slice(&64_u64.to_le_bytes());
    headers.extend([segment(0, 0x40_0000), segment(1 << 30, 0x8000_0000)].concat());
    let file = tempfile::tempfile().expect("a file");
    file.set_len(2 << 30).expect("a file of nothing");
    file.write_all_at(&headers, 0).expect("a file that can be written");
    let (read, peak) = memory::peak_of(|| GoBinary::from_file(file, PathBuf::from("sparse")));
    assert!(read.is_err());
    assert!(peak <= MEMORY, "{peak} bytes for two GiB of nothing");
}

/// The places worth damaging: where the function table's header, its parts' begins and the module data are.
fn tables(bytes: &[u8]) -> Vec<(usize, usize)> {
    let magic = [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    let header = bytes.windows(8).position(|window| window == magic).expect("a function table");
    let word = |at: usize| {
        let bytes: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
        usize::try_from(u64::from_le_bytes(bytes)).expect("an offset")
    };
    let mut tables = vec![(header, 72)];
    for index in 3..8 {
        tables.push((header + word(header + 8 + 8 * index), 4096));
    }
    let table = header + word(header + 64);
    // Every record of the first functions, and the data behind: module data and the inits.
    tables.push((table, 1 << 16));
    let data = bytes.windows(16).position(|window| window.starts_with(b"\xff Go buildinf:"));
    tables.extend(data.map(|data| (data, 4096)));
    tables
}
