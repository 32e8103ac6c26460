//! Records -> blocks.

use std::io::Write;

use super::record::Kind;
use super::ring::{Deltas, put};
use super::{CaptureError, MAGIC, MOST_RECORD, Record, VERSION};

/// A block is closed when it has this many bytes: enough for zstd to find what repeats.
const BLOCK: usize = 1 << 20;

/// What the block is compressed with: zstd's own default, 200 MB a second and more.
const LEVEL: i32 = 3;

/// What a capture has before its first block.
const HEADER: u64 = (MAGIC.len() + size_of_val(&VERSION)) as u64;

/// Writes a capture.
pub struct Writer<W> {
    out: W,
    /// What is not compressed yet.
    plain: Vec<u8>,
    /// Room for a record while it is encoded.
    record: Vec<u8>,
    deltas: Deltas,
    compressor: zstd::bulk::Compressor<'static>,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a capture.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(mut out: W) -> Result<Self, CaptureError> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self {
            out,
            plain: Vec::new(),
            record: Vec::new(),
            deltas: Deltas::default(),
            compressor,
            written: HEADER,
        })
    }

    /// Adds a record of the kernel side, as it came out of its ring buffer.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn ring(&mut self, record: &[u8]) -> Result<(), CaptureError> {
        if record.len() > MOST_RECORD {
            return Err(CaptureError::TooLarge { length: record.len() });
        }
        let mut encoded = std::mem::take(&mut self.record);
        encoded.clear();
        self.deltas.encode(record, &mut encoded);
        let added = self.add(Kind::Ring, &encoded);
        self.record = encoded;
        added
    }

    /// Adds any other record.
    ///
    /// # Errors
    /// Those of the writer, and for a record that is too large to be read again.
    pub fn record(&mut self, record: &Record<'_>) -> Result<(), CaptureError> {
        if let Record::Ring(bytes) = record {
            return self.ring(bytes);
        }
        let encoded = record.to_json()?;
        self.add(record.kind(), &encoded)
    }

    /// Writes what there is as a block: what came so far can be read from now on, whatever happens.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        if !self.plain.is_empty() {
            self.block()?;
        }
        Ok(self.out.flush()?)
    }

    /// How many bytes were written. What waits for its block is not among them.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether anything was written but the header.
    pub(super) fn has_blocks(&self) -> bool {
        self.written > HEADER
    }

    /// What it writes to.
    pub(super) fn out(&mut self) -> &mut W {
        &mut self.out
    }

    fn add(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), CaptureError> {
        if bytes.len() > MOST_RECORD {
            return Err(CaptureError::TooLarge { length: bytes.len() });
        }
        self.plain.push(kind as u8);
        put(&mut self.plain, bytes.len() as u64);
        let mut bytes = bytes;
        // A record that does not fit goes on in the next block.
        while !bytes.is_empty() {
            let room = BLOCK.saturating_sub(self.plain.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.plain.extend_from_slice(now);
            bytes = later;
            if self.plain.len() >= BLOCK {
                self.block()?;
            }
        }
        Ok(())
    }

    fn block(&mut self) -> Result<(), CaptureError> {
        let frame = self.compressor.compress(&self.plain)?;
        self.plain.clear();
        let length =
            u32::try_from(frame.len()).map_err(|_| CaptureError::TooLarge { length: frame.len() })?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&frame)?;
        self.written += size_of_val(&length) as u64 + frame.len() as u64;
        Ok(())
    }
}
