//! How much of the machine's processors watching may take.

use std::time::{Duration, Instant};

use crate::units::Nanos;

/// What a hit is taken to cost its process where that could not be measured: the upper end of what was elsewhere.
const HIT: Nanos = Nanos(3_000);

/// A hit that tells something costs so many times one that does not, at most.
const TELLING: u64 = 2;

/// Over so long it is judged.
const WINDOW: Duration = Duration::from_secs(10);

/// What was used since a window began.
#[derive(Debug)]
pub(super) struct Budget {
    /// The part of one processor.
    most: f64,
    /// What a hit is taken to cost.
    hit: Nanos,
    begun: Instant,
    cpu: Nanos,
    hits: u64,
}

impl Budget {
    /// Of so many processors; usually a small part of one. `hit_cost` is what a hit that tells nothing costs here.
    pub(super) fn new(most: f64, hit_cost: Option<Nanos>, now: Instant) -> Self {
        let hit = hit_cost.map_or(HIT, |cost| Nanos(cost.0.saturating_mul(TELLING)));
        Self { most, hit, begun: now, cpu: Nanos(0), hits: 0 }
    }

    /// Whether the window is over.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) >= WINDOW
    }

    /// With the agent's own processor time and all hits so far: what part of a processor both took in the window that
    /// is over now, when that was too much.
    #[expect(clippy::cast_precision_loss, reason = "compared with a fraction that somebody guessed")]
    pub(super) fn exceeded(&mut self, now: Instant, cpu: Nanos, hits: u64) -> Option<f64> {
        if !self.is_due(now) {
            return None;
        }
        let window = now.saturating_duration_since(self.begun);
        let probes = hits.saturating_sub(self.hits).saturating_mul(self.hit.0);
        let used = cpu.since(self.cpu).plus(Nanos(probes));
        let part = used.0 as f64 / window.as_nanos() as f64;
        // The time before the first window is the start's.
        let is_first = self.cpu == Nanos(0);
        (self.begun, self.cpu, self.hits) = (now, cpu, hits);
        (part > self.most && !is_first).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_time_and_hits_count_together_over_a_window() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut budget = Budget::new(0.01, None, begin);
        assert_eq!(budget.exceeded(at(5), Nanos(9_000_000_000), 0), None, "too early");
        assert_eq!(budget.exceeded(at(10), Nanos(1_000_000_000), 7), None, "the first one");
        assert_eq!(budget.exceeded(at(20), Nanos(1_090_000_000), 7), None, "0.9 %");
        // 0.9 % by itself, and 10000 hits.
        let part = budget.exceeded(at(30), Nanos(1_180_000_000), 10_007).unwrap();
        assert!((part - 0.012).abs() < 1e-9, "{part}");
        assert_eq!(budget.exceeded(at(40), Nanos(1_180_000_000), 10_007), None);
        // As many where a hit costs a fifth of that.
        let mut budget = Budget::new(0.01, Some(Nanos(300)), begin);
        assert_eq!(budget.exceeded(at(10), Nanos(1_000_000_000), 7), None);
        assert_eq!(budget.exceeded(at(20), Nanos(1_090_000_000), 10_007), None, "0.96 %");
    }
}
