//! The cycles and stops so far, checked one by one. Bounded, whatever comes.

use std::collections::VecDeque;

use super::check::{self, Refusal};
use super::cycle::{GcCycle, Surroundings};
use super::figures::Figures;
use super::stop::{StopReason, total_in};
use super::totals::Totals;
use crate::event::gc::{Cycle, Stop};
use crate::event::{Event, EventKind};
use crate::target::gobin::CollectorLayout;
use crate::units::Nanos;

/// So many cycles are told one by one, the newest; of what is older there are the sums.
const MOST_CYCLES: usize = 1 << 15;
/// The same of the stops, which have stacks.
const MOST_STOPS: usize = 1 << 14;

/// What the collector has done since a moment.
#[derive(Clone, Debug)]
pub struct GcHistory {
    layout: CollectorLayout,
    began: Nanos,
    /// The last cycle's, which the next one must fit.
    before: Option<Figures>,
    /// Whether GOMAXPROCS may have changed since then.
    resized: bool,
    pub(super) cycles: VecDeque<GcCycle>,
    /// With when their records were written.
    pub(super) stops: VecDeque<(Nanos, Stop)>,
    /// Of what there was no room for, since the last report.
    pub(super) left_out: Totals,
    /// When the record of the first of these was written.
    pub(super) left_out_from: Option<Nanos>,
    pub(super) refused: Option<Refusal>,
}

impl GcHistory {
    /// None yet, of a program whose Go version has that layout. `began` is when the probes were armed.
    #[must_use]
    pub fn new(layout: CollectorLayout, began: Nanos) -> Self {
        Self {
            layout,
            began,
            before: None,
            resized: false,
            cycles: VecDeque::new(),
            stops: VecDeque::new(),
            left_out: Totals::default(),
            left_out_from: None,
            refused: check::shape(&layout).err(),
        }
    }

    /// Takes note of the collector's among these events, which came together; best at once, while the surroundings are
    /// still those of the moment.
    pub fn note(&mut self, events: &[Event], surroundings: Surroundings) {
        for event in events {
            match &event.kind {
                EventKind::Stop(stop) => self.note_stop(event.time, stop),
                EventKind::GcCycle(cycle) => self.note_cycle(event.time, cycle, surroundings),
                _ => {}
            }
        }
    }

    /// When the probes were armed.
    #[must_use]
    pub const fn began(&self) -> Nanos {
        self.began
    }

    /// Takes note of a cycle, whose record was written at `time`. Best at once, while the surroundings are still those
    /// of the moment.
    pub fn note_cycle(&mut self, time: Nanos, cycle: &Cycle, surroundings: Surroundings) {
        if self.refused.is_some() {
            return;
        }
        match self.checked(time, cycle, surroundings) {
            Ok(cycle) => {
                self.cycles.push_back(cycle);
                if self.cycles.len() > MOST_CYCLES
                    && let Some(oldest) = self.cycles.pop_front()
                {
                    self.left_out.add_cycle(&oldest);
                    self.left_out.untold_cycles += 1;
                    self.left_out_from.get_or_insert(oldest.noted);
                }
            }
            Err(refusal) => {
                self.refused = Some(refusal);
                self.begin_anew();
                self.stops.clear();
            }
        }
    }

    /// Takes note of a stop, whose record was written at `time`. A stop of the collector's comes before its cycle.
    pub fn note_stop(&mut self, time: Nanos, stop: &Stop) {
        if self.refused.is_some() {
            return;
        }
        self.resized |= StopReason(stop.reason) == StopReason::GOMAXPROCS;
        self.stops.push_back((time, stop.clone()));
        if self.stops.len() > MOST_STOPS
            && let Some((noted, oldest)) = self.stops.pop_front()
        {
            let cycle = self.cycle_of(&oldest);
            let total = oldest.total.or_else(|| cycle.and_then(|cycle| total_in(&oldest, cycle)));
            let read = oldest.started.map(|started| oldest.monotonic.since(started));
            self.left_out.add_stop(StopReason(oldest.reason), total.or(read));
            self.left_out.untold_stops += 1;
            self.left_out_from.get_or_insert(noted);
        }
    }

    /// Forgets what a report has told; what comes is still compared with the last cycle, and a cycle that goes on still
    /// knows who began it.
    pub fn begin_anew(&mut self) {
        let over = self.before.as_ref().map_or(Nanos(0), |before| Nanos(before.t_end));
        let goes_on = |stop: &Stop| StopReason(stop.reason).is_gc() && stop.started > Some(over);
        self.stops.retain(|(_, stop)| goes_on(stop));
        self.cycles.clear();
        (self.left_out, self.left_out_from) = (Totals::default(), None);
    }

    /// Why nothing of the collector is told, if that is so.
    #[must_use]
    pub fn refused(&self) -> Option<&Refusal> {
        self.refused.as_ref()
    }

    /// The cycle that a stop of the collector's is part of, if that is over.
    pub(super) fn cycle_of(&self, stop: &Stop) -> Option<&GcCycle> {
        if !StopReason(stop.reason).is_gc() {
            return None;
        }
        let started = stop.started?;
        let after = self.cycles.partition_point(|cycle| cycle.runtime_start <= started);
        let cycle = self.cycles.get(after.checked_sub(1)?)?;
        (started.since(cycle.runtime_start) <= cycle.duration()).then_some(cycle)
    }

    /// How many stops for that reason were part of a cycle.
    pub(super) fn stops_of(&self, cycle: u32, reason: StopReason) -> usize {
        let of_it = |stop: &Stop| self.cycle_of(stop).is_some_and(|of| of.number == cycle);
        self.stops.iter().filter(|(_, stop)| StopReason(stop.reason) == reason && of_it(stop)).count()
    }

    fn checked(&mut self, time: Nanos, cycle: &Cycle, around: Surroundings) -> Result<GcCycle, Refusal> {
        let figures = Figures::of(&self.layout, cycle)?;
        check::cycle(&figures)?;
        let resized = std::mem::take(&mut self.resized);
        let before = match &self.before {
            Some(before) => Some((before, check::follows(&figures, before, resized)?)),
            None => None,
        };
        let cycle = GcCycle::of(&figures, time, self.began, before, around);
        check::stops(&figures, &self.stops, &cycle)?;
        self.before = Some(figures);
        Ok(cycle)
    }
}
