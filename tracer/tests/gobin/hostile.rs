//! Damage, by chance and on purpose: never a panic, never much memory or time.

use std::time::Duration;

use gotrace::target::gobin::BinaryError;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::effort::Effort;
use crate::image::Image;
use crate::memory::peak_of;
use crate::walk;

/// More than this no small file may cost.
const MEMORY: usize = 4 << 20;
const TIME: Duration = Duration::from_secs(2);

/// Opens a small file and asks it for everything, within bounds.
fn survives(bytes: &[u8]) -> Option<BinaryError> {
    let began = Effort::begin();
    let (outcome, peak) = peak_of(|| walk::walk_bytes(bytes));
    assert!(peak <= MEMORY, "{peak} bytes of memory for a file of {}", bytes.len());
    assert!(began.spent() <= TIME, "{:?}", began.spent());
    outcome.err()
}

/// Images of each kind of table, of both ways to keep addresses, with and without build information.
fn images() -> Vec<Vec<u8>> {
    let mut images = Vec::new();
    for (layout, version) in [(19, "go1.19.8"), (21, "go1.21.13"), (27, "go1.27.3")] {
        for relocated in [false, true] {
            for build_info in [None, Some(version)] {
                let base = Image { build_version: version, layout, ..Image::default() };
                images.push(Image { build_info, relocated, ..base }.bytes());
            }
        }
    }
    images
}

/// One of each kind of table, for tests that try every place in them.
fn few_images() -> Vec<Vec<u8>> {
    images().into_iter().step_by(5).collect()
}

fn image() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(images())
}

/// Numbers at which sums overflow and comparisons tip.
fn extreme() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(7),
        Just(0x7f),
        Just(0xff),
        Just(0x7fff_ffff),
        Just(0xffff_ffff),
        Just(1 << 32),
        Just(1 << 40),
        Just(i64::MAX.cast_unsigned()),
        Just(1 << 63),
        Just(u64::MAX),
        Just(u64::MAX - 7),
        0..0x2000_u64,
        0x3f_f000..0x60_2000_u64,
        any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_do_no_harm(mut bytes in image(), flips in prop::collection::vec((any::<Index>(), 0..8_u32), 1..32)) {
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        survives(&bytes);
    }

    #[test]
    fn words_of_any_value_do_no_harm(
        mut bytes in image(),
        words in prop::collection::vec((any::<Index>(), extreme(), prop::sample::select(vec![1_usize, 2, 4, 8])), 1..8),
    ) {
        for (at, value, size) in words {
            let at = at.index(bytes.len() / size) * size;
            bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        }
        survives(&bytes);
    }

    #[test]
    fn pieces_moved_elsewhere_do_no_harm(
        mut bytes in image(),
        moves in prop::collection::vec((any::<Index>(), any::<Index>(), 1..256_usize), 1..6),
    ) {
        for (from, to, len) in moves {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let len = len.min(bytes.len() - from.max(to));
            bytes.copy_within(from..from + len, to);
        }
        survives(&bytes);
    }

    #[test]
    fn bytes_of_no_meaning_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..512), elf: bool) {
        if elf && bytes.len() >= 64 {
            bytes[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
            bytes[54..56].copy_from_slice(&[56, 0]);
        }
        survives(&bytes);
    }
}

#[test]
fn every_length_is_refused_but_the_whole() {
    for bytes in few_images() {
        assert!(survives(&bytes).is_none());
        for len in 0..bytes.len() {
            // The last bytes may be padding; whatever is missing before is missed.
            let refused = survives(&bytes[..len]).is_some();
            assert!(refused, "{len} of {}", bytes.len());
        }
    }
}

/// Every single byte, as its opposite.
#[test]
fn every_byte_may_be_anything() {
    for bytes in few_images() {
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xff;
            survives(&bytes);
        }
    }
}

/// Every word of eight bytes, as the values at which sums overflow.
#[test]
fn every_word_may_be_anything() {
    for bytes in few_images() {
        for at in (0..bytes.len() - 8).step_by(8) {
            for value in [0, u64::MAX, u64::MAX - 7, i64::MAX.cast_unsigned()] {
                let mut bytes = bytes.clone();
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
                survives(&bytes);
            }
        }
    }
}
