//! The way from the kernel side to here: records that become events, and the counters of what was lost.

use std::time::Duration;

use anyhow::Context as _;
use aya::maps::{Array, MapData};
use aya_log::EbpfLogger;

use crate::event::{self, Event};
use crate::probe::load::{LoadError, Loaded};
use crate::stream::{ProbeLoss, RawRecord, Reader, read_losses};

/// How often the ring buffer is drained. At the default size it takes 25 000 inits in between.
pub(super) const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// The maps that every probe writes to.
pub(super) struct Ring {
    reader: Reader,
    counters: Array<MapData, [u64; 2]>,
    log: Option<EbpfLogger<&'static dyn log::Log>>,
    /// Records that were of no known kind.
    pub(super) undecodable: u64,
}

impl Ring {
    /// Takes the maps; once. With `log` also the kernel side's own log.
    pub(super) fn of(loaded: &mut Loaded, log: bool) -> Result<Self, LoadError> {
        Ok(Self {
            log: if log { Some(loaded.take_log()?) } else { None },
            reader: Reader::new(loaded.take_events()?),
            counters: loaded.take_counters()?,
            undecodable: 0,
        })
    }

    /// Empties the ring, and the log: its records as the kernel side wrote them.
    pub(super) fn take(&mut self) -> Vec<RawRecord> {
        if let Some(log) = &mut self.log {
            log.flush();
        }
        let mut records = Vec::new();
        self.reader.drain(&mut records);
        records
    }

    /// What the record says; none of what is of no known kind, which is counted.
    pub(super) fn decode(&mut self, RawRecord(bytes): &RawRecord) -> Option<Event> {
        event::decode(bytes)
            .inspect_err(|error| {
                tracing::warn!("{error}");
                self.undecodable += 1;
            })
            .ok()
    }

    /// Every probe's account.
    pub(super) fn losses(&self) -> anyhow::Result<Vec<ProbeLoss>> {
        read_losses(&self.counters).context("cannot read the loss counters")
    }
}

/// The size of the ring as the option has it, in KiB.
pub(super) fn ring_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(kib) if kib.is_power_of_two() && (4..=1 << 20).contains(&kib) => Ok(kib),
        _ => Err("a power of two from 4 to 1048576 is needed".to_owned()),
    }
}
