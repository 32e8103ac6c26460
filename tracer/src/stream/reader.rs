//! Takes records out of the ring buffer. The kernel side never wakes anybody: the reader comes by on a timer.

use aya::maps::{MapData, RingBuf};
use bytes::{Bytes, BytesMut};

/// One record's bytes, as the kernel side wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord(pub Bytes);

/// The user-space end of the ring buffer.
pub struct Reader {
    ring: RingBuf<MapData>,
}

impl Reader {
    /// For that ring buffer.
    #[must_use]
    pub fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring }
    }

    /// Moves all that is in the ring to the end of `records`, oldest first. Returns how many there were.
    pub fn drain(&mut self, records: &mut Vec<RawRecord>) -> usize {
        let before = records.len();
        let mut buffer = BytesMut::new();
        while let Some(item) = self.ring.next() {
            buffer.extend_from_slice(&item);
            records.push(RawRecord(buffer.split().freeze()));
        }
        records.len() - before
    }
}
