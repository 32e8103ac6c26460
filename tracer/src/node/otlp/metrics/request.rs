//! Families as OTLP's metrics, as OpenTelemetry's specification translates Prometheus's.
//!
//! A counter's family is named without `_total`, which belongs to its sample. The unit stays in the name and is told as
//! well, so that whatever makes Prometheus's names of it again gets the same ones. What is merely counted has no unit:
//! `1` is a ratio there, and `gotrace_processes` would come back as `gotrace_processes_ratio`.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::begins::Begins;
use super::exposition::{Family, Kind, Series, Value};
use crate::node::otlp::attributes::text;
use crate::node::otlp::resource::scope;

/// All that is not the families themselves.
pub(super) struct Context<'a> {
    /// Who tells.
    pub(super) resource: Resource,
    pub(super) begins: &'a mut Begins,
    /// When a process began, by its number as a label has it.
    pub(super) processes: &'a dyn Fn(&str) -> Option<u64>,
    /// When the families were read, in nanoseconds since 1970.
    pub(super) time: u64,
}

/// One request for all of them.
pub(super) fn request(families: &[Family<'_>], mut context: Context<'_>) -> ExportMetricsServiceRequest {
    let told = families.iter().filter(|family| !family.series.is_empty());
    let metrics = told.map(|family| metric(family, &mut context)).collect();
    context.begins.over(context.time);
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let of_agent =
        ResourceMetrics { resource: Some(context.resource), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![of_agent] }
}

fn metric(family: &Family<'_>, context: &mut Context<'_>) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let numbers = |context: &mut Context<'_>| {
        family.series.iter().filter_map(|series| context.number(family.kind, series)).collect()
    };
    let (kind, data) = match family.kind {
        Kind::Counter => {
            let data_points = numbers(context);
            ("counter", Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true }))
        }
        Kind::Gauge => ("gauge", Data::Gauge(Gauge { data_points: numbers(context) })),
        Kind::Histogram => {
            let data_points = family.series.iter().filter_map(|series| context.histogram(series)).collect();
            ("histogram", Data::Histogram(Histogram { data_points, aggregation_temporality }))
        }
    };
    Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        unit: unit(family.name).to_owned(),
        metadata: vec![text("prometheus.type", kind)],
        data: Some(data),
    }
}

/// What the name says of it.
fn unit(name: &str) -> &'static str {
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        Some("ratio") => "1",
        _ => "",
    }
}

impl Context<'_> {
    fn number(&mut self, kind: Kind, series: &Series<'_>) -> Option<NumberDataPoint> {
        let (value, real) = match series.value {
            // Beyond what OTLP's integers hold, as near as it gets.
            Value::Whole(whole) => (
                i64::try_from(whole).map_or(
                    number_data_point::Value::AsDouble(approximate(whole)),
                    number_data_point::Value::AsInt,
                ),
                approximate(whole),
            ),
            Value::Real(real) => (number_data_point::Value::AsDouble(real), real),
            Value::Histogram(_) => return None,
        };
        Some(NumberDataPoint {
            attributes: attributes(series),
            start_time_unix_nano: if kind == Kind::Counter { self.begin(series, real) } else { 0 },
            time_unix_nano: self.time,
            value: Some(value),
            ..NumberDataPoint::default()
        })
    }

    fn histogram(&mut self, series: &Series<'_>) -> Option<HistogramDataPoint> {
        let Value::Histogram(histogram) = &series.value else { return None };
        Some(HistogramDataPoint {
            attributes: attributes(series),
            start_time_unix_nano: self.begin(series, approximate(histogram.count)),
            time_unix_nano: self.time,
            count: histogram.count,
            sum: Some(histogram.sum).filter(|sum| sum.is_finite()),
            bucket_counts: histogram.buckets.clone(),
            explicit_bounds: histogram.bounds.clone(),
            ..HistogramDataPoint::default()
        })
    }

    fn begin(&mut self, series: &Series<'_>, value: f64) -> u64 {
        let pid = series.labels.iter().find(|(key, _)| *key == "pid");
        let process = pid.and_then(|(_, pid)| (self.processes)(pid));
        self.begins.of(series.text, process, value)
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is compared, or has no exact place in a message")]
fn approximate(whole: u64) -> f64 {
    whole as f64
}

/// An empty label is one that is not there, as Prometheus has it.
fn attributes(series: &Series<'_>) -> Vec<KeyValue> {
    let told = series.labels.iter().filter(|(_, value)| !value.is_empty());
    told.map(|(key, value)| text(key, value.as_str())).collect()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
