//! How long the world was stopped, in a few of the buckets that Go has.

use std::fmt;

use prometheus_client::encoding::MetricEncoder;

use super::figures::{bucket_ends, seconds};
use super::metrics::Labels;
use crate::target::counters::{Pauses, TimeHistogram};
use crate::units::Nanos;

/// About 10 µs, 100 µs, 1 ms, 10 ms, 100 ms and 1 s, in nanoseconds: where the nearest of Go's buckets begin, so that
/// what is shorter is exactly known.
const BOUNDS: [u64; 6] = [10_240, 98_304, 1_048_576, 10_485_760, 100_663_296, 939_524_096];

/// Of one process, by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stops {
    /// By the collector.
    pub gc: Durations,
    /// For everything else.
    pub other: Durations,
}

/// How many stops were how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    /// How many were shorter than each bound.
    below: [u64; BOUNDS.len()],
    /// How many there were.
    count: u64,
    /// What they took at least.
    least: Nanos,
}

impl Stops {
    pub(super) fn of(pauses: &Pauses) -> Self {
        Self { gc: Durations::of(&pauses.gc), other: Durations::of(&pauses.other) }
    }
}

impl Durations {
    fn of(histogram: &TimeHistogram) -> Self {
        let below = BOUNDS.map(|bound| histogram.below(bound));
        Self { below, count: histogram.count(), least: Nanos(histogram.least()) }
    }

    pub(super) fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let mut before = 0;
        let buckets: Vec<(f64, u64)> = bucket_ends(BOUNDS)
            .zip(self.below.into_iter().chain([self.count]))
            .map(|(end, below)| (end, below - std::mem::replace(&mut before, below)))
            .collect();
        encoder.encode_histogram::<Labels>(seconds(self.least), self.count, &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::{DescriptorEncoder, text};
    use prometheus_client::metrics::MetricType;
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct Of(Durations);

    impl Collector for Of {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            self.0.encode(encoder.encode_descriptor("stops", "Stops", None, MetricType::Histogram)?)
        }
    }

    #[test]
    fn bounds_are_where_gos_buckets_begin() {
        let all: Vec<u64> = TimeHistogram::of(&[]).buckets().map(|(lower, _)| lower).collect();
        for (bound, about) in
            BOUNDS.into_iter().zip([10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000_u64])
        {
            let nearest = all.iter().min_by_key(|lower| lower.abs_diff(about));
            assert_eq!(nearest, Some(&bound));
        }
    }

    #[test]
    fn each_stop_is_in_the_bucket_that_prometheus_has_for_it() {
        let stops =
            [-5, 0, 10_239, 10_240, 98_303, 98_304, 2_000_000, 939_524_095, 939_524_096, 60_000_000_000];
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Of(Durations::of(&TimeHistogram::of(&stops)))));
        let mut out = String::new();
        text::encode(&mut out, &registry).unwrap();
        let value = |sample: &str| {
            let line = out.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{sample}: {out}")).parse::<f64>().unwrap()
        };
        for end in ["0.000010239", "0.000098303", "0.001048575", "0.010485759", "0.100663295", "0.939524095"]
        {
            let seconds: f64 = end.parse().unwrap();
            let up_to = stops.iter().filter(|stop| **stop as f64 / 1e9 <= seconds).count();
            assert_eq!(value(&format!("stops_bucket{{le=\"{end}\"}}")), up_to as f64, "{end}");
        }
        assert_eq!(value("stops_bucket{le=\"+Inf\"}"), 10.0);
        assert_eq!(value("stops_count"), 10.0);
        let sum: i64 = stops.iter().filter(|stop| **stop > 0).sum();
        let (sum, told) = (sum as f64 / 1e9, value("stops_sum"));
        assert!(told <= sum && sum <= told * 1.25, "{told} of {sum}");
    }
}
