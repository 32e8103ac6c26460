//! What became of those that were held.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// From 50 µs to what must not be.
const BOUNDS: [f64; 9] = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.02];

/// What is counted of them.
#[derive(Debug)]
pub(in crate::node) struct Figures {
    /// How long execves were held, in seconds.
    pub(in crate::node) held: Histogram,
    expired: AtomicU64,
    skipped: AtomicU64,
    closed: AtomicBool,
}

impl Default for Figures {
    fn default() -> Self {
        let (expired, skipped, closed) = Default::default();
        Self { held: Histogram::new(BOUNDS), expired, skipped, closed }
    }
}

impl Figures {
    /// How many went on before their probes were in place, as their time was over.
    pub(in crate::node) fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    /// How many were not held, as there were too many at a time.
    pub(in crate::node) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Whether none is held any more, as one was held for too long.
    pub(in crate::node) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn held(&self, time: Duration) {
        self.held.observe(time.as_secs_f64());
    }

    pub(super) fn expire(&self) {
        self.expired.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn skip(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}
