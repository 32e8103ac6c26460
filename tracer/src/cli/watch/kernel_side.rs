//! What the kernel side wrote of every new process, on this side.

use crate::event::{Decoder, Event};
use crate::model::{SeenStart, Starts};
use crate::probe::Probe;
use crate::probe::load::{LoadError, Loaded};
use crate::stream::{LossesUnknown, LostBy, ProbeLoss, RawRecord, Ring};
use crate::units::{Nanos, boot_clock};

/// What the kernel side wrote, as starts.
pub(super) struct KernelSide {
    ring: Ring,
    decoder: Decoder,
    starts: Starts,
    /// Whether the records themselves are kept, to be written down.
    keeps: bool,
    lost: LostBy,
}

impl KernelSide {
    /// Takes the maps; once. With `keeps` each start has its records as well.
    pub(super) fn of(loaded: &mut Loaded, keeps: bool) -> Result<Self, LoadError> {
        let (ring, decoder) = (Ring::of(loaded, false)?, Decoder::default());
        Ok(Self { ring, decoder, starts: Starts::default(), keeps, lost: LostBy::default() })
    }

    /// The starts that are over by now.
    pub(super) fn drain(&mut self) -> Vec<SeenStart> {
        let Self { ring, decoder, starts, keeps, .. } = self;
        let records = ring.take();
        let take = |record: RawRecord| starts.take(decoder.decode(&record)?, keeps.then_some(record));
        records.into_iter().filter_map(take).collect()
    }

    /// The starts that are not over.
    pub(super) fn take_rest(&mut self) -> Vec<SeenStart> {
        std::mem::take(&mut self.starts).into_rest()
    }

    /// How many records belonged to no known start.
    pub(super) fn stray(&self) -> u64 {
        self.starts.stray
    }

    /// How many records were of no known kind since this was asked last.
    pub(super) fn take_undecodable(&mut self) -> u64 {
        std::mem::take(&mut self.decoder.undecodable)
    }

    /// A start's hits, and what was lost from its begin on: whose, nobody knows, so it counts for every start
    /// that was under way.
    pub(super) fn losses_of(&mut self, seen: &SeenStart) -> Result<Vec<ProbeLoss>, LossesUnknown> {
        let begin = seen.events.first().map_or(Nanos(0), |event| event.time);
        let mut losses = self.losses()?;
        self.lost.keep_since(begin, &mut losses);
        for loss in &mut losses {
            let delivered = seen.events.iter().filter(|event| event.probe() == loss.probe).count();
            loss.hits = delivered as u64 + loss.dropped;
        }
        Ok(losses)
    }

    /// Every probe's account, which is remembered.
    pub(super) fn losses(&mut self) -> Result<Vec<ProbeLoss>, LossesUnknown> {
        let losses = self.ring.losses()?;
        self.lost.note(boot_clock(), &losses);
        Ok(losses)
    }

    /// Whether the start can be told: when records of `main.main` were lost, one that seems not to have reached
    /// it may have.
    pub(super) fn is_sure(&mut self, seen: &SeenStart) -> Result<bool, LossesUnknown> {
        let reached = seen.events.last().is_some_and(Event::is_main);
        let lost = |loss: &ProbeLoss| loss.probe == Probe::MainMain && loss.dropped > 0;
        Ok(reached || !self.losses()?.iter().any(lost))
    }
}
