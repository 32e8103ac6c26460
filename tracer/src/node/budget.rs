//! How much of the machine's processors watching may take, and how much of a program's.

use std::time::{Duration, Instant};

use crate::units::Nanos;

/// What a hit is taken to cost its process where that could not be measured: the upper end of what was elsewhere.
const HIT: Nanos = Nanos(3_000);

/// A hit that tells something costs so many times one that does not, at most.
const TELLING: u64 = 2;

/// Over so long it is judged.
const WINDOW: Duration = Duration::from_secs(10);

/// What parts of one processor may be taken; none for any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overhead {
    /// By the agent, and the probes of all programs.
    pub node: Option<f64>,
    /// By the probes of each program.
    pub each: Option<f64>,
}

/// What was used since a window began.
#[derive(Debug)]
pub(super) struct Budget {
    most: Overhead,
    /// What a hit is taken to cost.
    hit: Nanos,
    begun: Instant,
    cpu: Nanos,
    hits: u64,
}

impl Budget {
    /// `hit_cost` is what a hit that tells nothing costs here.
    pub(super) fn new(most: Overhead, hit_cost: Option<Nanos>, now: Instant) -> Self {
        let hit = hit_cost.map_or(HIT, |cost| Nanos(cost.0.saturating_mul(TELLING)));
        Self { most, hit, begun: now, cpu: Nanos(0), hits: 0 }
    }

    /// Whether the window is over.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) >= WINDOW
    }

    /// With how many hits of each program the window had that is over now: which of them took too much by itself, and
    /// what part of a processor that was. To be asked before [`Self::exceeded`].
    pub(super) fn too_dear(&self, now: Instant, programs: &[(u64, usize)]) -> Vec<(u64, f64)> {
        let Some(most) = self.most.each.filter(|_| self.is_due(now)) else { return Vec::new() };
        let window = now.saturating_duration_since(self.begun);
        let part = |hits: usize| self.part(hits as u64, Nanos(0), window);
        let parts = programs.iter().map(|(number, hits)| (*number, part(*hits)));
        parts.filter(|(_, part)| *part > most).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "compared with a fraction that somebody guessed")]
    fn part(&self, hits: u64, own: Nanos, window: Duration) -> f64 {
        own.plus(Nanos(hits.saturating_mul(self.hit.0))).0 as f64 / window.as_nanos() as f64
    }

    /// With the agent's own processor time and all hits so far: what part of a processor both took in the window that
    /// is over now, when that was too much.
    pub(super) fn exceeded(&mut self, now: Instant, cpu: Nanos, hits: u64) -> Option<f64> {
        if !self.is_due(now) {
            return None;
        }
        let window = now.saturating_duration_since(self.begun);
        let part = self.part(hits.saturating_sub(self.hits), cpu.since(self.cpu), window);
        // The time before the first window is the start's.
        let is_first = self.cpu == Nanos(0);
        (self.begun, self.cpu, self.hits) = (now, cpu, hits);
        self.most.node.filter(|most| part > *most && !is_first).map(|_| part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(part: f64) -> Overhead {
        Overhead { node: Some(part), each: None }
    }

    #[test]
    fn each_program_has_its_own_part() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let most = Overhead { node: None, each: Some(0.001) };
        let mut budget = Budget::new(most, Some(Nanos(1_000)), begin);
        // 4000 hits of 2 us, and 6000.
        let programs = [(1, 4_000), (2, 6_000)];
        assert_eq!(budget.too_dear(at(5), &programs), [], "too early");
        let dear = budget.too_dear(at(10), &programs);
        assert!(matches!(dear[..], [(2, part)] if (part - 0.0012).abs() < 1e-9), "{dear:?}");
        assert_eq!(budget.exceeded(at(10), Nanos(1 << 40), 1 << 40), None);
        assert_eq!(Budget::new(node(0.0), None, begin).too_dear(at(10), &programs), []);
    }

    #[test]
    fn own_time_and_hits_count_together_over_a_window() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut budget = Budget::new(node(0.01), None, begin);
        assert_eq!(budget.exceeded(at(5), Nanos(9_000_000_000), 0), None, "too early");
        assert_eq!(budget.exceeded(at(10), Nanos(1_000_000_000), 7), None, "the first one");
        assert_eq!(budget.exceeded(at(20), Nanos(1_090_000_000), 7), None, "0.9 %");
        // 0.9 % by itself, and 10000 hits.
        let part = budget.exceeded(at(30), Nanos(1_180_000_000), 10_007).unwrap();
        assert!((part - 0.012).abs() < 1e-9, "{part}");
        assert_eq!(budget.exceeded(at(40), Nanos(1_180_000_000), 10_007), None);
        // As many where a hit costs a fifth of that.
        let mut budget = Budget::new(node(0.01), Some(Nanos(300)), begin);
        assert_eq!(budget.exceeded(at(10), Nanos(1_000_000_000), 7), None);
        assert_eq!(budget.exceeded(at(20), Nanos(1_090_000_000), 10_007), None, "0.96 %");
    }
}
