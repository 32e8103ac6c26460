//! What became of what was sent, as metrics.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;

use super::counts::{Counts, Dropped};
use super::metrics;
use crate::node::metrics::{Labels, count, counters};

/// The accounts of those who send, which outlive them.
#[derive(Debug, Default)]
pub(in crate::node) struct Sent {
    /// Of starts; none unless they are sent.
    pub(super) starts: Option<Arc<Counts>>,
    /// Of metrics; none unless they are sent.
    pub(super) metrics: Option<Arc<metrics::Counts>>,
}

impl Sent {
    /// Writes them.
    pub(in crate::node) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.starts.iter().try_for_each(|counts| starts(counts, encoder))?;
        self.metrics.iter().try_for_each(|counts| metrics(counts, encoder))
    }
}

fn starts(counts: &Counts, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Starts that the OTLP receiver has taken";
    plain(encoder, "gotrace_otlp_starts_sent", help, counts.sent())?;
    let mut family = counters(encoder, "gotrace_otlp_starts_dropped", "Starts that were not sent by OTLP")?;
    for why in Dropped::ALL {
        count(&mut family, &vec![("reason", why.name().to_owned())], counts.dropped(why))?;
    }
    let help = "Spans that the OTLP receiver did not want of the starts that it took";
    plain(encoder, "gotrace_otlp_spans_rejected", help, counts.rejected())
}

fn metrics(counts: &metrics::Counts, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Times that the OTLP receiver has taken all metrics";
    plain(encoder, "gotrace_otlp_metrics_sent", help, counts.sent())?;
    let help = "Times that it has not; what is sent next makes up for that";
    let mut family = counters(encoder, "gotrace_otlp_metrics_failed", help)?;
    for why in metrics::Failed::ALL {
        count(&mut family, &vec![("reason", why.name().to_owned())], counts.failed(why))?;
    }
    let help = "Data points that the OTLP receiver did not want of the metrics that it took";
    plain(encoder, "gotrace_otlp_data_points_rejected", help, counts.rejected())
}

fn plain(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    counters(encoder, name, help)?.encode_counter::<Labels, _, f64>(&value, None)
}
