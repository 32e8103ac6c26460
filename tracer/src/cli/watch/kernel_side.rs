//! What the kernel side wrote of every new process, on this side.

use std::collections::VecDeque;

use crate::cli::ring::Ring;
use crate::event::Event;
use crate::model::{SeenStart, Starts};
use crate::probe::Probe;
use crate::probe::load::{LoadError, Loaded};
use crate::stream::{ProbeLoss, RawRecord};
use crate::units::{Nanos, boot_clock};

/// How many changes of what was dropped are remembered.
const SNAPSHOTS: usize = 256;

/// What the kernel side wrote, as starts.
pub(super) struct KernelSide {
    ring: Ring,
    starts: Starts,
    /// Whether the records themselves are kept, to be written down.
    keeps: bool,
    /// How much had been dropped by when, by probe; a line for each time that it changed.
    dropped: VecDeque<(Nanos, Vec<u64>)>,
}

impl KernelSide {
    /// Takes the maps; once. With `keeps` each start has its records as well.
    pub(super) fn of(loaded: &mut Loaded, keeps: bool) -> Result<Self, LoadError> {
        let (ring, starts) = (Ring::of(loaded, false)?, Starts::default());
        Ok(Self { ring, starts, keeps, dropped: VecDeque::new() })
    }

    /// The starts that are over by now.
    pub(super) fn drain(&mut self) -> Vec<SeenStart> {
        let Self { ring, starts, keeps, .. } = self;
        let records = ring.take();
        let take = |record: RawRecord| starts.take(ring.decode(&record)?, keeps.then_some(record));
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
        std::mem::take(&mut self.ring.undecodable)
    }

    /// A start's hits, and what was lost from its begin on: whose, nobody knows, so it counts for every start
    /// that was under way.
    pub(super) fn losses_of(&mut self, seen: &SeenStart) -> anyhow::Result<Vec<ProbeLoss>> {
        let begin = seen.events.first().map_or(Nanos(0), |event| event.time);
        let mut losses = self.losses()?;
        let before = self.dropped.iter().rev().find(|(time, _)| *time <= begin).map(|(_, dropped)| dropped);
        for (index, loss) in losses.iter_mut().enumerate() {
            let before = before.and_then(|dropped| dropped.get(index)).copied().unwrap_or(0);
            let delivered = seen.events.iter().filter(|event| event.probe() == loss.probe).count();
            loss.dropped -= before;
            loss.hits = delivered as u64 + loss.dropped;
        }
        Ok(losses)
    }

    /// Every probe's account, which is remembered.
    pub(super) fn losses(&mut self) -> anyhow::Result<Vec<ProbeLoss>> {
        let now = boot_clock();
        let losses = self.ring.losses()?;
        let dropped: Vec<u64> = losses.iter().map(|loss| loss.dropped).collect();
        if self.dropped.back().is_none_or(|(_, last)| *last != dropped) {
            // For a start that began before all that is kept, everything counts.
            if self.dropped.len() == SNAPSHOTS {
                self.dropped.pop_front();
            }
            self.dropped.push_back((now, dropped));
        }
        Ok(losses)
    }

    /// Whether the start can be told: when records of `main.main` were lost, one that seems not to have reached
    /// it may have.
    pub(super) fn is_sure(&mut self, seen: &SeenStart) -> anyhow::Result<bool> {
        let reached = seen.events.last().is_some_and(Event::is_main);
        let lost = |loss: &ProbeLoss| loss.probe == Probe::MainMain && loss.dropped > 0;
        Ok(reached || !self.losses()?.iter().any(lost))
    }
}
