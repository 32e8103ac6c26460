//! Takes records out of the ring buffer. The kernel side wakes nobody for most of them: the reader comes by on a timer.

use std::os::fd::AsRawFd as _;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use bytes::{Bytes, BytesMut};

/// One record's bytes, as the kernel side wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord(pub Bytes);

/// The user-space end of the ring buffer.
pub(super) struct Reader {
    ring: RingBuf<MapData>,
}

impl Reader {
    /// For that ring buffer.
    pub(super) fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring }
    }

    /// Moves all that is in the ring to the end of `records`, oldest first. Returns how many there were.
    pub(super) fn drain(&mut self, records: &mut Vec<RawRecord>) -> usize {
        let before = records.len();
        let mut buffer = BytesMut::new();
        while let Some(item) = self.ring.next() {
            buffer.extend_from_slice(&item);
            records.push(RawRecord(buffer.split().freeze()));
        }
        records.len() - before
    }
    /// Sleeps until there is a record whose submission wakes, a signal, or the time is over. Whether there is any record.
    pub(super) fn wait(&self, longest: Duration) -> bool {
        let mut ring = libc::pollfd { fd: self.ring.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let longest = libc::c_int::try_from(longest.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: it is one element, which the kernel writes to.
        unsafe { libc::poll(&raw mut ring, 1, longest) > 0 }
    }
}
