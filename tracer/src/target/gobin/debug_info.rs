//! Where the runtime keeps what, as the program's own debug information (DWARF) tells it: of a Go that the table does not
//! know, or that somebody has built otherwise.
//!
//! It is hostile input like all of the file: `.debug_info` is read in pieces and decompressed as far as the one unit that
//! is meant, and every step has a limit.

mod fields;
mod structures;

use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;

use object::LittleEndian as LE;
use object::elf::{CompressionHeader64, ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD};
use object::pod::from_bytes;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use thiserror::Error;

use self::fields::{LAYOUTS, MissingField, Number, Numbers};
use self::structures::{Structures, StructuresError};
use super::GoBinary;
use super::offsets::Layouts;
use super::source::Source;

/// More bytes of `.debug_abbrev` than a program has: Go writes a few hundred, a C compiler some for each of its files.
const MOST_ABBREVIATIONS: u64 = 1 << 20;

/// What a zstd stream may ask for, in bytes, as a power of two.
const ZSTD_WINDOW: u32 = 23;

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) compressed: bool,
}

/// Why the debug information does not tell.
#[derive(Debug, Error)]
enum DebugInfoError {
    #[error("it has no {0}")]
    Section(&'static str),
    #[error("{0}")]
    Structures(#[from] StructuresError),
    #[error("{0}")]
    Field(#[from] MissingField),
    #[error("{0}")]
    Number(#[from] serde_json::Error),
}

/// What it says of the runtime. None when there is none, or it does not tell: why is logged.
pub(super) fn layouts(binary: &GoBinary) -> Option<Layouts> {
    if !binary.elf.linking.dwarf {
        return None;
    }
    let told = read(binary);
    if let Err(error) = &told {
        tracing::warn!(
            "{}: where its runtime keeps what is not taken from its debug information: {error}",
            binary.path().display()
        );
    }
    told.ok()
}

fn read(binary: &GoBinary) -> Result<Layouts, DebugInfoError> {
    let [info, abbreviations] = binary.elf.debug;
    let info = info.ok_or(DebugInfoError::Section(".debug_info"))?;
    let abbreviations = abbreviations.ok_or(DebugInfoError::Section(".debug_abbrev"))?;
    let io = |error| DebugInfoError::Structures(StructuresError::Io(error));
    let mut bytes = Vec::new();
    let abbreviations = open(&binary.source, abbreviations).map_err(io)?;
    abbreviations.take(MOST_ABBREVIATIONS).read_to_end(&mut bytes).map_err(io)?;
    let structures = Structures::read(open(&binary.source, info).map_err(io)?, &bytes)?;
    Ok(of_numbers(&fields::read(&structures, binary.version().minor())?)?)
}

/// Each number to the field that has its name.
fn of_numbers(numbers: &Numbers) -> Result<Layouts, serde_json::Error> {
    let number = |number: &Number| match number {
        Number::Always(number) => Value::from(*number),
        Number::Sometimes(number) => Value::from(*number),
    };
    let layouts: Map<String, Value> = LAYOUTS
        .iter()
        .zip(numbers)
        .map(|(layout, numbers)| {
            let fields = numbers.as_ref().map(|numbers| {
                numbers.iter().map(|(name, value)| ((*name).to_owned(), number(value))).collect::<Map<_, _>>()
            });
            (layout.name.to_owned(), Value::from(fields))
        })
        .collect();
    Layouts::deserialize(Value::Object(layouts))
}

/// The section's bytes, decompressed.
fn open(source: &Source, section: Section) -> io::Result<Box<dyn Read + '_>> {
    let Section { offset, size, compressed } = section;
    let mut bytes = Bytes { source, at: offset, left: size };
    if !compressed {
        return Ok(Box::new(BufReader::new(bytes)));
    }
    let mut header = [0; size_of::<CompressionHeader64<LE>>()];
    bytes.read_exact(&mut header)?;
    let method = from_bytes::<CompressionHeader64<LE>>(&header).map(|(header, _)| header.ch_type.get(LE));
    match method {
        Ok(ELFCOMPRESS_ZLIB) => Ok(Box::new(flate2::read::ZlibDecoder::new(bytes))),
        Ok(ELFCOMPRESS_ZSTD) => {
            let mut decoder = zstd::stream::read::Decoder::new(bytes)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Ok(Box::new(decoder))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "compressed in a way that is not known")),
    }
}

/// A part of the file, read as it is asked for.
struct Bytes<'a> {
    source: &'a Source,
    at: u64,
    left: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.source.file.read_at(&mut buffer[..most], self.at)?;
        self.at = self.at.saturating_add(read as u64);
        self.left -= read as u64;
        Ok(read)
    }
}
