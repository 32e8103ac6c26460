//! What the kernel side writes of every start, on this side.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use tracer_ebpf::config::{Config, WatchConfig};

use crate::event::{Decoder, Event};
use crate::probe::attach::AttachError;
use crate::probe::load::{LoadOptions, Loaded};
use crate::probe::watching::Watching;
use crate::probe::{Probe, Starts, watch_config};
use crate::stream::{LossesUnknown, LostBy, ProbeLoss, Ring};
use crate::units::{Nanos, boot_clock};

/// So many starts can be under way at a time.
const MOST_UNDER_WAY: u32 = 4096;

/// Of so many files it is known when they were told last.
const MOST_FILES: u32 = 4096;

/// So many processes that do not listen yet are told when they do.
const MOST_SILENT: u32 = 16 << 10;

/// The programs in the kernel and what they write to.
pub(super) struct Kernel {
    pub(super) watching: Watching,
    ring: Ring,
    decoder: Decoder,
    lost: LostBy,
    /// What it costs a process to run into a site, at least.
    pub(super) hit_cost: Option<Nanos>,
}

impl Kernel {
    /// Loads the programs, with a ring buffer of that size. No binary is watched yet.
    pub(super) fn load(ring_bytes: u32) -> Result<Self, AttachError> {
        let starts = Starts {
            config: WatchConfig { tell_listens: 1, ..watch_config(true) },
            most_under_way: MOST_UNDER_WAY,
            most_files: MOST_FILES,
            most_silent: MOST_SILENT,
        };
        let options = LoadOptions { starts, ring_bytes, ..LoadOptions::of_start(Config::default()) };
        let mut loaded = Loaded::load(&options)?;
        let ring = Ring::of(&mut loaded, false)?;
        let (decoder, lost) = (Decoder::default(), LostBy::default());
        let mut watching = loaded.watch_starts()?;
        if let Err(error) = watching.watch_listening() {
            tracing::warn!("when processes are ready is not told: {error}");
        }
        let hit_cost = watching.hit_cost().inspect_err(|error| tracing::warn!("what a hit costs: {error}"));
        Ok(Self { watching, ring, decoder, lost, hit_cost: hit_cost.ok() })
    }

    /// Sleeps until something is announced, the other is readable, or that long. Whether there is something to do.
    pub(super) fn wait(&self, other: Option<BorrowedFd<'_>>, longest: Duration) -> bool {
        self.ring.wait(other, longest)
    }

    /// What happened since, oldest first.
    pub(super) fn drain(&mut self) -> Vec<Event> {
        self.ring.take().iter().filter_map(|record| self.decoder.decode(record)).collect()
    }

    /// How many records were of no known kind.
    pub(super) fn undecodable(&self) -> u64 {
        self.decoder.undecodable
    }

    /// Every probe's account, which is remembered.
    pub(super) fn losses(&mut self) -> Result<Vec<ProbeLoss>, LossesUnknown> {
        let losses = self.ring.losses()?;
        self.lost.note(boot_clock(), &losses);
        Ok(losses)
    }

    /// Every probe's account, without what was lost before that time.
    pub(super) fn losses_since(&mut self, begin: Nanos) -> Result<Vec<ProbeLoss>, LossesUnknown> {
        let mut losses = self.losses()?;
        self.lost.keep_since(begin, &mut losses);
        Ok(losses)
    }

    /// Whether a record may be lost by which the end would be known of a start that began then.
    pub(super) fn may_have_lost_end(&self, begin: Nanos) -> bool {
        let Ok(mut losses) = self.ring.losses() else { return true };
        self.lost.keep_since(begin, &mut losses);
        let tells = |probe| matches!(probe, Probe::MainMain | Probe::Exit);
        losses.iter().any(|loss| tells(loss.probe) && loss.dropped > 0)
    }
}
