//! What processes were blocked on, as metrics.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::super::figures::{bucket_ends, seconds};
use super::super::metrics::{Labels, count, counters, of};
use super::super::state::State;
use super::times::BOUNDS;

/// Writes them, by workload and cause.
pub(in crate::node) fn encode(state: &State, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let all = state.workloads.sorted();
    let all = || all.iter().filter_map(|(workload, figures)| Some((*workload, figures.blocked.as_ref()?)));
    let help = "Time for which a process was watched for what it is blocked on; none without --blocking";
    let mut family = counters(encoder, "gotrace_blocking_watched_seconds", help)?;
    for (workload, blocked) in all() {
        count(&mut family, workload, seconds(blocked.watched))?;
    }
    let help = "Time for which goroutines were blocked meanwhile, by cause; what is idle is left out";
    let mut family =
        encoder.encode_descriptor("gotrace_blocked_seconds", help, None, MetricType::Histogram)?;
    for (workload, blocked) in all() {
        for (cause, times) in &blocked.causes {
            let longer = times.count.saturating_sub(times.shorter.iter().sum());
            let counts = times.shorter.into_iter().chain([longer]);
            let buckets: Vec<(f64, u64)> = bucket_ends(BOUNDS).zip(counts).collect();
            family.encode_family(&of(workload, "cause", (*cause).to_owned()))?.encode_histogram::<Labels>(
                seconds(times.total),
                times.count,
                &buckets,
                None,
            )?;
        }
    }
    Ok(())
}
