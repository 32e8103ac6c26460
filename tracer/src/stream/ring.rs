//! All that the kernel side writes: its records, its own log, and the counters of what was lost.

use std::time::Duration;

use aya::maps::{Array, MapData};
use aya_log::EbpfLogger;

use super::losses::{self, LossesUnknown, ProbeLoss};
use super::reader::{RawRecord, Reader};
use crate::probe::load::{LoadError, Loaded};

/// The maps that every probe writes to.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Ring {
    reader: Reader,
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
            reader: Reader::new(loaded.take_events()?),
            counters: loaded.take_counters()?,
        })
    }

    /// Empties the ring, and the log: its records as the kernel side wrote them, oldest first.
    pub fn take(&mut self) -> Vec<RawRecord> {
        if let Some(log) = &mut self.log {
            log.flush();
        }
        let mut records = Vec::new();
        self.reader.drain(&mut records);
        records
    }

    /// Sleeps until the kernel side announces something, until a signal comes or the time is over. Returns whether
    /// there is something to take.
    #[must_use]
    pub fn wait(&self, longest: Duration) -> bool {
        self.reader.wait(longest)
    }

    /// Every probe's account.
    ///
    /// # Errors
    /// When the map of the counters cannot be read.
    pub fn losses(&self) -> Result<Vec<ProbeLoss>, LossesUnknown> {
        losses::read(&self.counters)
    }
}
