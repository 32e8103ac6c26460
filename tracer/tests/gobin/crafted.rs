//! Files made to waste time and memory: each claims what costs most to believe.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use gotrace::target::gobin::{BinaryError, GoBinary};

use crate::effort::Effort;
use crate::image::Image;
use crate::memory::peak_of;
use crate::walk;

const WORD: usize = 8;

/// Where the third program header, the writable segment's, has its length in the file.
const DATA_LENGTH: usize = 64 + 2 * 56 + 32;

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + WORD].try_into().expect("eight bytes"))
}

fn set(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + WORD].copy_from_slice(&value.to_le_bytes());
}

/// Where those bytes first are.
fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).expect("bytes to be found")
}

/// The image with more bytes in its writable segment, which is the last; and their address.
fn with_tail(image: Image, tail: &[u8]) -> (Vec<u8>, u64) {
    let mut bytes = image.bytes();
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    let offset = word(&bytes, DATA_LENGTH - 24);
    let address = word(&bytes, DATA_LENGTH - 16) + bytes.len() as u64 - offset;
    bytes.extend_from_slice(tail);
    let len = bytes.len() as u64 - offset;
    set(&mut bytes, DATA_LENGTH, len);
    set(&mut bytes, DATA_LENGTH + WORD, len);
    (bytes, address)
}

/// Asks it for everything, in bounded time, and in memory that is a small multiple of its size.
fn bounded(bytes: &[u8]) -> Option<BinaryError> {
    let began = Effort::begin();
    let (outcome, peak) = peak_of(|| walk::walk_bytes(bytes));
    assert!(peak <= 4 * bytes.len() + (4 << 20), "{peak} bytes of memory for a file of {}", bytes.len());
    assert!(began.spent() <= Duration::from_secs(2), "{:?}", began.spent());
    outcome.err()
}

#[test]
fn a_file_of_holes_is_not_read_to_its_end() {
    for len in [1_u64 << 40, 3 << 30, 1 << 26] {
        let mut bytes = Image { relocated: true, ..Image::default() }.bytes();
        let data = len - word(&bytes, DATA_LENGTH - 24);
        set(&mut bytes, DATA_LENGTH, data);
        set(&mut bytes, DATA_LENGTH + WORD, data);
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&bytes).and_then(|()| file.set_len(len)).expect("a file with holes");
        let began = Effort::begin();
        let (outcome, peak) = peak_of(|| GoBinary::from_file(file, PathBuf::from("holes")));
        assert!(peak < 8 << 20, "{peak}");
        assert!(began.spent() < Duration::from_secs(3), "{:?}", began.spent());
        if len > 1 << 31 {
            let error = outcome.expect_err("nothing loads that much").to_string();
            assert!(error.contains("larger than any program"), "{error}");
        }
    }
}

#[test]
fn relocations_without_end_are_refused() {
    let mut bytes = Image { relocated: true, ..Image::default() }.bytes();
    let len = bytes.len();
    // The dynamic section is the end of the file: address, length, end.
    let claimed = 1_u64 << 30;
    set(&mut bytes, len - 24, claimed);
    let data = claimed + word(&bytes, DATA_LENGTH);
    set(&mut bytes, DATA_LENGTH, data);
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&bytes).and_then(|()| file.set_len(claimed + len as u64)).expect("a file with holes");
    let (outcome, peak) = peak_of(|| GoBinary::from_file(file, PathBuf::from("holes")));
    assert!(peak < 8 << 20, "{peak}");
    let error = outcome.expect_err("no program has that many").to_string();
    assert!(error.contains("a table larger"), "{error}");
}

#[test]
fn relocations_of_one_place_are_applied_once() {
    let image = Image { relocated: true, ..Image::default() };
    let small = image.bytes();
    let (table, len) = (word(&small, small.len() - 40), word(&small, small.len() - 24));
    let from = usize::try_from(table - word(&small, DATA_LENGTH - 16) + word(&small, DATA_LENGTH - 24))
        .expect("small");
    let own = &small[from..from + usize::try_from(len).expect("small")];
    let last = &own[own.len() - 24..];
    let mut tail = own.to_vec();
    for _ in 0..200_000 {
        tail.extend_from_slice(last);
    }
    let (mut bytes, address) = with_tail(image, &tail);
    set(&mut bytes, small.len() - 40, address);
    set(&mut bytes, small.len() - 24, tail.len() as u64);
    assert!(bounded(&bytes).is_none());
}

#[test]
fn beginnings_without_end_are_given_up_on() {
    // Function tables that begin, with one part behind the other, and then go wrong.
    let header = [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    let tail = header.repeat(1 << 20);
    let (bytes, _) = with_tail(Image::default(), &tail);
    bounded(&bytes);
    // Blocks of build information whose modules are as long as may be.
    let mut block = b"\xff Go buildinf:\x08\x02".to_vec();
    block.resize(32, 0);
    block.extend_from_slice(b"\x03go9\xff\xff\x3f");
    block.resize(48, 0);
    let (bytes, _) = with_tail(Image { build_info: None, ..Image::default() }, &block.repeat(1 << 16));
    assert!(bounded(&bytes).is_none());
}

#[test]
fn module_data_in_every_place_is_no_module_data() {
    let image = Image::default();
    let bytes = image.bytes();
    let table = find(&bytes, &[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
    let address = 0x40_0000 + table as u64;
    let names = address + word(&bytes, table + 32);
    let pair = [address.to_le_bytes(), names.to_le_bytes()].concat();
    let (bytes, _) = with_tail(image, &pair.repeat(1 << 18));
    bounded(&bytes);
}

#[test]
fn names_that_overlap_are_refused() {
    let mut bytes = Image::default().bytes();
    let table = find(&bytes, &[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
    let at = |index: usize| table + usize::try_from(word(&bytes, table + 8 + 8 * index)).expect("small");
    let (names, units, records, count) = (at(3), at(4), at(7), word(&bytes, table + 8));
    let last = bytes[..units].iter().rposition(|byte| *byte != 0).expect("names");
    bytes[names..last].fill(b'x');
    for index in 0..usize::try_from(count).expect("small") {
        let place = records + index * 8 + 4;
        let record =
            records + u32::from_le_bytes(bytes[place..place + 4].try_into().expect("four bytes")) as usize;
        bytes[record + 4..record + 8].fill(0);
    }
    let error = bounded(&bytes).expect("a refusal").to_string();
    assert!(error.contains("names that overlap"), "{error}");
}

#[test]
fn a_damaged_list_of_modules_leaves_the_version() {
    let mut bytes = Image::default().bytes();
    let version = find(&bytes, b"\x08go1.26.6");
    // The modules' length, as a varint of three bytes that says two megabytes.
    bytes[version + 9..version + 12].copy_from_slice(&[0xff, 0xff, 0x7f]);
    let binary = walk::open(&bytes).expect("a Go program");
    assert_eq!(binary.version().raw(), "go1.26.6");
    assert!(binary.build_info().is_none());
}
