//! What had been lost by when: of what is lost nobody knows whose it was, so it counts for every start that was under way.

use std::collections::VecDeque;

use super::ProbeLoss;
use crate::units::Nanos;

/// How many changes are remembered.
const CHANGES: usize = 256;

/// What had been lost by when, by probe; a line for each time that it changed.
#[derive(Debug, Default)]
pub struct LostBy(VecDeque<(Nanos, Vec<u64>)>);

impl LostBy {
    /// Remembers the accounts, which had been read by that time.
    pub fn note(&mut self, time: Nanos, losses: &[ProbeLoss]) {
        let dropped: Vec<u64> = losses.iter().map(|loss| loss.dropped).collect();
        if self.0.back().is_none_or(|(_, last)| *last != dropped) {
            // For what began before all that is kept, everything counts.
            if self.0.len() == CHANGES {
                self.0.pop_front();
            }
            self.0.push_back((time, dropped));
        }
    }

    /// Of the accounts by now, what was lost from `begin` on: as far as it is known, else more.
    pub fn keep_since(&self, begin: Nanos, losses: &mut [ProbeLoss]) {
        let Some((_, before)) = self.0.iter().rev().find(|(time, _)| *time <= begin) else { return };
        for (loss, before) in losses.iter_mut().zip(before) {
            loss.dropped = loss.dropped.saturating_sub(*before);
        }
    }
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::wire::Probe;

    use super::*;

    fn lost(dropped: u64) -> Vec<ProbeLoss> {
        vec![ProbeLoss { probe: Probe::Init, hits: dropped, dropped }]
    }

    fn since(lost_by: &LostBy, begin: u64, dropped: u64) -> u64 {
        let mut losses = lost(dropped);
        lost_by.keep_since(Nanos(begin), &mut losses);
        losses[0].dropped
    }

    #[test]
    fn what_was_lost_before_a_start_is_not_its_loss() {
        let mut lost_by = LostBy::default();
        assert_eq!(since(&lost_by, 5, 3), 3, "nothing is known of before");
        for (time, dropped) in [(10, 0), (20, 2), (30, 2), (40, 7)] {
            lost_by.note(Nanos(time), &lost(dropped));
        }
        let found: Vec<_> = [5, 10, 19, 20, 35, 40].map(|begin| since(&lost_by, begin, 8)).into();
        assert_eq!(found, [8, 8, 8, 6, 6, 1]);
    }

    #[test]
    fn of_what_is_forgotten_everything_counts() {
        let mut lost_by = LostBy::default();
        for time in 0..=CHANGES as u64 {
            lost_by.note(Nanos(time), &lost(time));
        }
        assert_eq!((since(&lost_by, 0, 1000), since(&lost_by, 1, 1000)), (1000, 999));
    }
}
