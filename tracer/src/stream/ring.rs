//! All that the kernel side writes: its records, its own log, and the counters of what was lost. It wakes nobody for most
//! of its records: they are fetched on a timer, but by who says that he sleeps until there are some.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use aya::maps::{Array, MapData, MapError, RingBuf};
use aya_log::EbpfLogger;
use bytes::{Bytes, BytesMut};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::losses::{self, LossesUnknown, ProbeLoss};
use crate::probe::load::{LoadError, Loaded};

/// One record's bytes, as the kernel side wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord(pub Bytes);

/// The maps that every probe writes to.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Ring {
    records: RingBuf<MapData>,
    asleep: Array<MapData, u32>,
    counters: Array<MapData, [u64; 2]>,
    log: Option<EbpfLogger<&'static dyn log::Log>>,
}

impl Ring {
    /// Takes the maps; once. With `log` also the kernel side's own log.
    ///
    /// # Errors
    /// When the object has none, or they were taken before.
    pub fn of(loaded: &mut Loaded, log: bool) -> Result<Self, LoadError> {
        Ok(Self {
            log: if log { Some(loaded.take_log()?) } else { None },
            records: loaded.take_events()?,
            asleep: loaded.take_asleep()?,
            counters: loaded.take_counters()?,
        })
    }

    /// Empties the ring, and the log: its records as the kernel side wrote them, oldest first.
    pub fn take(&mut self) -> Vec<RawRecord> {
        if let Some(log) = &mut self.log {
            log.flush();
        }
        let (mut taken, mut buffer) = (Vec::new(), BytesMut::new());
        while let Some(item) = self.records.next() {
            buffer.extend_from_slice(&item);
            taken.push(RawRecord(buffer.split().freeze()));
        }
        taken
    }

    /// Has the kernel side wake who waits for [`Ring::woken`] with the next record of a program that is followed, and only
    /// with that. What came before is to be taken after this.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn ask_to_be_woken(&mut self) -> Result<(), MapError> {
        self.asleep.set(0, 1, 0)
    }

    /// What is readable when the kernel side has woken who sleeps.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn woken(&self) -> io::Result<OwnedFd> {
        self.records.as_fd().try_clone_to_owned()
    }

    /// Sleeps until the kernel side announces something, until the other is readable, a signal comes or the time is over.
    /// Returns whether one of the two is so.
    #[must_use]
    pub fn wait(&self, other: Option<BorrowedFd<'_>>, longest: Duration) -> bool {
        let longest = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
        let both = [Some(self.records.as_fd()), other];
        let mut both: Vec<_> =
            both.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        poll(&mut both, longest).is_ok_and(|readable| readable > 0)
    }

    /// Every probe's account.
    ///
    /// # Errors
    /// When the map of the counters cannot be read.
    pub fn losses(&self) -> Result<Vec<ProbeLoss>, LossesUnknown> {
        losses::read(&self.counters)
    }
}
