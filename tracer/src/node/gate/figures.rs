//! What became of those that were held.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

use super::super::metrics::{Labels, counters, gauges};

/// From 50 µs to what must not be.
const BOUNDS: [f64; 9] = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.02];

/// What is counted of them.
#[derive(Debug)]
pub(in crate::node) struct Figures {
    /// How long execves were held, in seconds.
    held: Histogram,
    /// How many went on before their probes were in place, as their time was over.
    expired: AtomicU64,
    /// How many were not held, as there were too many at a time.
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
    /// Writes them.
    pub(in crate::node) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "How long execves were held, until it was known that they need not be or the probes were in place";
        let held =
            encoder.encode_descriptor("gotrace_gate_held_seconds", help, None, MetricType::Histogram)?;
        self.held.encode(held)?;
        let counted = [
            (
                "gotrace_gate_expired",
                "Execves that went on before that was so, as their time was over",
                &self.expired,
            ),
            (
                "gotrace_gate_skipped",
                "Execves that were not held, as there were too many at a time",
                &self.skipped,
            ),
        ];
        for (name, help, value) in counted {
            let value = value.load(Ordering::Relaxed);
            counters(encoder, name, help)?.encode_counter::<Labels, _, f64>(&value, None)?;
        }
        let help = "1 while execves are held; 0 since one was for too long, or the agent did not run";
        gauges(encoder, "gotrace_gate_open", help)?.encode_gauge(&u64::from(!self.is_closed()))
    }

    /// Whether none is held any more.
    pub(super) fn is_closed(&self) -> bool {
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
