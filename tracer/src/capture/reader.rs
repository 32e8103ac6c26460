//! Blocks -> records, one by one: a capture of any size is read in the memory of a few blocks.

use std::io::{self, Read};

use super::record::Kind;
use super::ring::{Deltas, take};
use super::{CaptureError, MAGIC, MOST_FRAME, MOST_PLAIN, MOST_RECORD, Record, VERSION};

/// The most bytes of what is before a record's own: its kind, and its length.
const PREFIX: usize = 11;

/// A record's kind, when it is known, and where its bytes are.
type Place = (Option<Kind>, std::ops::Range<usize>);

/// Reads a capture.
pub struct Reader<R> {
    input: R,
    /// Where in the file the next block begins.
    at: u64,
    frame: Vec<u8>,
    /// What is decompressed; up to `used` it has been read.
    plain: Vec<u8>,
    used: usize,
    ring: Vec<u8>,
    deltas: Deltas,
    decompressor: zstd::bulk::Decompressor<'static>,
    block: Vec<u8>,
    /// Whether there is nothing more to come.
    over: bool,
    cut: bool,
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// When it is no capture, or of a later version, or cannot be read.
    pub fn new(mut input: R) -> Result<Self, CaptureError> {
        let mut header = [0; MAGIC.len() + 4];
        if read_up_to(&mut input, &mut header)? < header.len() || header[..MAGIC.len()] != MAGIC {
            return Err(CaptureError::NotACapture);
        }
        let [.., a, b, c, d] = header;
        match u32::from_le_bytes([a, b, c, d]) {
            0 => return Err(CaptureError::NotACapture),
            1..=VERSION => {}
            version => return Err(CaptureError::Newer { version }),
        }
        Ok(Self {
            input,
            at: header.len() as u64,
            frame: Vec::new(),
            plain: Vec::new(),
            used: 0,
            ring: Vec::new(),
            deltas: Deltas::default(),
            decompressor: zstd::bulk::Decompressor::new()?,
            block: Vec::new(),
            over: false,
            cut: false,
        })
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read. There is nothing more to come then.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        let Some((kind, range)) = self.frame_of_record()? else { return Ok(None) };
        let bytes = &self.plain[range];
        let damaged = |what| CaptureError::Damaged { at: self.at, what };
        let Some(kind) = kind else { return Err(damaged("a record of no known kind")) };
        if kind == Kind::Ring {
            let decoded = self.deltas.decode(bytes, &mut self.ring);
            decoded.ok_or(damaged("a record of the kernel side that is none"))?;
            return Ok(Some(Record::Ring(&self.ring)));
        }
        Record::from_json(kind, bytes)
            .map(Some)
            .map_err(|_| damaged("a record that does not say what its kind does"))
    }

    /// Whether the file ended within a block or a record, where it was cut off. Known when there is no next record.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Where the next record's bytes are, all of which are there. None at the end.
    fn frame_of_record(&mut self) -> Result<Option<Place>, CaptureError> {
        loop {
            let mut rest = &self.plain[self.used..];
            let whole = rest.len();
            if let Some((number, behind)) = rest.split_first() {
                let number = *number;
                rest = behind;
                match take(&mut rest) {
                    Some(length) => {
                        let length = usize::try_from(length).ok().filter(|length| *length <= MOST_RECORD);
                        let length = length.ok_or(CaptureError::Damaged {
                            at: self.at,
                            what: "a record that is too long",
                        })?;
                        if rest.len() >= length {
                            let from = self.used + whole - rest.len();
                            self.used = from + length;
                            return Ok(Some((Kind::from_number(number), from..self.used)));
                        }
                    }
                    None if whole >= PREFIX => {
                        return Err(CaptureError::Damaged { at: self.at, what: "a length that is none" });
                    }
                    None => {}
                }
            }
            if !self.read_block()? {
                self.cut |= whole > 0;
                return Ok(None);
            }
        }
    }

    /// Adds the next block to what is there. False at the end.
    fn read_block(&mut self) -> Result<bool, CaptureError> {
        if self.over {
            return Ok(false);
        }
        // Until this block is known to be good.
        self.over = true;
        let mut length = [0; 4];
        let got = read_up_to(&mut self.input, &mut length)?;
        if got < length.len() {
            self.cut = got > 0;
            return Ok(false);
        }
        let damaged = |what| Err(CaptureError::Damaged { at: self.at, what });
        let length = u32::from_le_bytes(length) as usize;
        if length > MOST_FRAME {
            return damaged("a block that is too long");
        }
        // No more is made room for than there is to read.
        self.frame.clear();
        (&mut self.input).take(length as u64).read_to_end(&mut self.frame)?;
        if self.frame.len() < length {
            self.cut = true;
            return Ok(false);
        }
        let plain = zstd::zstd_safe::get_frame_content_size(&self.frame).ok().flatten();
        let Some(plain) =
            plain.and_then(|plain| usize::try_from(plain).ok()).filter(|plain| *plain <= MOST_PLAIN)
        else {
            return damaged("a block that claims to be larger than blocks are");
        };
        self.block.clear();
        self.block.reserve(plain);
        if zstd::zstd_safe::find_frame_compressed_size(&self.frame).ok() != Some(length)
            || self.decompressor.decompress_to_buffer(&self.frame, &mut self.block).is_err()
        {
            return damaged("a block whose checksum does not fit");
        }
        self.plain.drain(..self.used);
        self.used = 0;
        self.plain.extend_from_slice(&self.block);
        self.at += 4 + length as u64;
        self.over = false;
        Ok(true)
    }
}

/// Whether a file that begins so is a capture.
#[must_use]
pub fn is_capture(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// Fills as much of the buffer as there is to read.
fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
