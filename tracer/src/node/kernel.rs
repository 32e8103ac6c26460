//! What the kernel side writes of every start, on this side.

use std::time::Duration;

use aya::maps::{Array, MapData, MapError};
use tracer_ebpf::config::{Config, GoConfig, HeapConfig};

use crate::event::{self, Event};
use crate::probe::attach::AttachError;
use crate::probe::load::{LoadOptions, Loaded};
use crate::probe::watching::Watching;
use crate::probe::{Blocking, Gc, Parking, Probe, Starts, watch_config};
use crate::stream::{ProbeLoss, RawRecord, Reader, read_losses};

/// So many starts can be under way at a time.
const MOST_UNDER_WAY: u32 = 4096;

/// Of so many files it is known when they were told last.
const MOST_FILES: u32 = 4096;

/// The programs in the kernel and what they write to.
pub(super) struct Kernel {
    pub(super) watching: Watching,
    reader: Reader,
    counters: Array<MapData, [u64; 2]>,
    /// Records that were of no known kind.
    pub(super) undecodable: u64,
}

impl Kernel {
    /// Loads the programs, with a ring buffer of that size. No binary is watched yet.
    pub(super) fn load(ring_bytes: u32) -> Result<Self, AttachError> {
        let starts =
            Starts { config: watch_config(true), most_under_way: MOST_UNDER_WAY, most_files: MOST_FILES };
        let mut loaded = Loaded::load(&LoadOptions {
            config: Config::default(),
            go: GoConfig::default(),
            heap: HeapConfig::default(),
            starts,
            blocking: Blocking::NONE,
            parking: Parking::NONE,
            gc: Gc::NONE,
            ring_bytes,
            kernel_log: false,
        })?;
        let (reader, counters) = (Reader::new(loaded.take_events()?), loaded.take_counters()?);
        Ok(Self { watching: loaded.watch_starts()?, reader, counters, undecodable: 0 })
    }

    /// Sleeps until something is announced, or that long. Whether there is something to drain.
    pub(super) fn wait(&self, longest: Duration) -> bool {
        self.reader.wait(longest)
    }

    /// What happened since, oldest first.
    pub(super) fn drain(&mut self) -> Vec<Event> {
        let mut records = Vec::new();
        self.reader.drain(&mut records);
        let mut events = Vec::with_capacity(records.len());
        for RawRecord(bytes) in records {
            match event::decode(&bytes) {
                Ok(event) => events.push(event),
                Err(error) => {
                    tracing::warn!("{error}");
                    self.undecodable += 1;
                }
            }
        }
        events
    }

    /// Every probe's account.
    pub(super) fn losses(&self) -> Result<Vec<ProbeLoss>, MapError> {
        read_losses(&self.counters)
    }

    /// How many records were lost by which a start's end would be known.
    pub(super) fn ends_lost(&self) -> Result<u64, MapError> {
        let of = |probe: Probe| self.counters.get(&(probe as u32), 0).map(|[_, dropped]| dropped);
        Ok(of(Probe::MainMain)? + of(Probe::Exit)?)
    }
}
