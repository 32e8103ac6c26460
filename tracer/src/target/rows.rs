//! The longer texts of /proc, a row at a time: how long they are is up to the process that they tell of.

use std::io::{BufRead as _, BufReader, Read, Take};

/// In bytes. A longer line is none of the kernel's: a path is at most 4096 bytes, each of which takes four where it has
/// to be escaped.
const LONGEST: u64 = 4 * 4096 + 256;

/// The rows of a text, one of which is in memory.
pub(super) struct Rows<R> {
    text: BufReader<Take<R>>,
    row: Vec<u8>,
}

impl<R: Read> Rows<R> {
    /// At most so many bytes of the text are read.
    pub(super) fn new(text: R, most: u64) -> Self {
        Self { text: BufReader::with_capacity(64 << 10, text.take(most)), row: Vec::new() }
    }

    /// The next row, without its end; none behind the last one, and when the text cannot be read. What is longer than
    /// a row can be comes in pieces.
    pub(super) fn next_row(&mut self) -> Option<&[u8]> {
        self.row.clear();
        match self.text.by_ref().take(LONGEST).read_until(b'\n', &mut self.row) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(self.row.strip_suffix(b"\n").unwrap_or(&self.row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_without_their_ends_and_none_is_longer_than_a_row_can_be() {
        let mut rows = Rows::new(&b"one\n\nthree"[..], 100);
        let mut next = || rows.next_row().map(<[u8]>::to_vec);
        assert_eq!(
            [next(), next(), next(), next()],
            [Some(b"one".to_vec()), Some(vec![]), Some(b"three".to_vec()), None]
        );
        assert_eq!(Rows::new(&b"seven"[..], 2).next_row(), Some(&b"se"[..]));
        let mut endless = Rows::new(std::io::repeat(b'x'), u64::MAX);
        assert_eq!(endless.next_row().map(<[u8]>::len), usize::try_from(LONGEST).ok());
    }
}
