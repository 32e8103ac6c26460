//! The inputs of the models -> a file, and back: what was seen of a program can be told again, in any format, on any
//! machine.
//!
//! A capture is a header, then blocks: each a length and a zstd frame with a checksum. Put one behind another, the
//! frames hold a stream of [`Record`]s in the order of time. Blocks are written at least once a second, so of a
//! session that was killed everything up to the last whole block can be read. Everything in the file may be hostile:
//! each length is bounded before anything is made of it.

mod asked;
mod error;
mod file;
mod following;
mod reader;
pub mod record;
mod recording;
mod redact;
mod replay;
mod ring;
mod symbols;
mod writer;

pub use asked::RecordedAnswers;
pub use error::CaptureError;
pub use file::{CaptureFile, SUFFIX};
pub use following::{Replayed, Reported};
pub use reader::{Reader, is_capture};
pub use record::Record;
pub use recording::Recording;
pub use redact::redact;
pub use replay::Replay;
pub use symbols::{KeptSymbols, RecordedSymbols};
pub use writer::Writer;

/// What a capture begins with: no text, and not what any other tool writes.
const MAGIC: [u8; 8] = *b"\x89gotrace";

/// The version of the format that is written. Every one up to it is read.
///
/// It grows when an older gotrace would misread a new file: with a new kind of record, or when the kernel side's records
/// (`tracer_ebpf::wire`) change, which captures hold byte for byte.
pub const VERSION: u32 = 2;

/// The most bytes in a block, decompressed.
const MOST_PLAIN: usize = 4 << 20;

/// The most bytes that a block's frame has: what zstd makes of bytes that cannot be compressed.
const MOST_FRAME: usize = MOST_PLAIN + (MOST_PLAIN >> 7) + 1024;

/// The most bytes of one record. It may be longer than a block.
const MOST_RECORD: usize = 16 << 20;

/// The most records of the kernel side that one start has in a capture: they are all in memory when it is told.
pub const MOST_RECORDS: u64 = 1 << 18;

#[cfg(test)]
#[path = "container_tests.rs"]
mod container_tests;

#[cfg(test)]
mod crafted_sums;

#[cfg(test)]
#[path = "extremes_tests.rs"]
mod extremes_tests;

#[cfg(test)]
#[path = "following_tests.rs"]
mod following_tests;

#[cfg(test)]
#[path = "replay_tests.rs"]
mod replay_tests;

#[cfg(test)]
#[path = "whole_tests.rs"]
mod whole_tests;
