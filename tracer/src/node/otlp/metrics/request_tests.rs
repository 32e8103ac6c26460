use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Point;

use super::*;
use crate::node::otlp::metrics::exposition::read;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// What an agent sends that began at 100 and has written this at 500; the process 7 began at 50.
fn sent(text: &str) -> Vec<Metric> {
    let mut begins = Begins::new(100);
    let processes = |pid: &str| (pid == "7").then_some(50);
    let context =
        Context { resource: Resource::default(), begins: &mut begins, processes: &processes, time: 500 };
    let request = request(&read(text).unwrap(), context);
    let [of_agent] = &request.resource_metrics[..] else { panic!("{request:?}") };
    let [of_scope] = &of_agent.scope_metrics[..] else { panic!("{request:?}") };
    assert_eq!(of_scope.scope.as_ref().unwrap().name, "gotrace");
    of_scope.metrics.clone()
}

fn one(text: &str) -> Metric {
    let mut all = sent(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn told(attributes: &[KeyValue]) -> Vec<(&str, &str)> {
    attributes.iter().map(|attribute| (attribute.key.as_str(), plain(attribute))).collect()
}

fn plain(attribute: &KeyValue) -> &str {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_counter_is_a_sum_since_it_was_nothing() {
    let metric = one("# HELP gotrace_a_seconds What it is\n# TYPE gotrace_a_seconds counter\n\
        gotrace_a_seconds_total{exe=\"x\",pod=\"\"} 2.0\n\
        gotrace_a_seconds_total{exe=\"a\\\"}\\\\\\n\",pid=\"7\"} 0.25\n# EOF\n");
    assert_eq!(
        (&*metric.name, &*metric.unit, &*metric.description),
        ("gotrace_a_seconds", "s", "What it is")
    );
    assert_eq!(told(&metric.metadata), [("prometheus.type", "counter")]);
    let Some(Data::Sum(sum)) = metric.data else { panic!("{metric:?}") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == CUMULATIVE);
    let [first, second] = &sum.data_points[..] else { panic!("{sum:?}") };
    assert_eq!((first.start_time_unix_nano, first.time_unix_nano), (100, 500));
    assert_eq!((first.value, second.value), (Some(Point::AsDouble(2.0)), Some(Point::AsDouble(0.25))));
    // What is not known is no attribute; what a process counts, it counts since it began.
    assert_eq!(told(&first.attributes), [("exe", "x")]);
    assert_eq!(told(&second.attributes), [("exe", "a\"}\\\n"), ("pid", "7")]);
    assert_eq!(second.start_time_unix_nano, 50);
}

#[test]
fn a_gauge_is_what_it_is_now() {
    let metric = one("# HELP gotrace_b_bytes What\n# TYPE gotrace_b_bytes gauge\n\
        gotrace_b_bytes 3\ngotrace_b_bytes{x=\"y\"} NaN\ngotrace_b_bytes{x=\"z\"} -inf\n\
        gotrace_b_bytes{x=\"large\"} 18446744073709551615\n# EOF\n");
    assert_eq!((&*metric.name, &*metric.unit), ("gotrace_b_bytes", "By"));
    let Some(Data::Gauge(gauge)) = metric.data else { panic!("{metric:?}") };
    let values: Vec<_> = gauge.data_points.iter().map(|point| point.value.unwrap()).collect();
    assert_eq!(values[0], Point::AsInt(3));
    assert!(matches!(values[1], Point::AsDouble(value) if value.is_nan()));
    assert_eq!(values[2], Point::AsDouble(f64::NEG_INFINITY));
    assert_eq!(values[3], Point::AsDouble(18_446_744_073_709_551_615.0));
    assert!(
        gauge.data_points.iter().all(|point| point.start_time_unix_nano == 0 && point.time_unix_nano == 500)
    );
}

#[test]
fn a_histogram_has_each_bucket_for_itself() {
    let metric = one("# HELP gotrace_c_seconds What\n# TYPE gotrace_c_seconds histogram\n\
        gotrace_c_seconds_sum{exe=\"x\"} 12.5\ngotrace_c_seconds_count{exe=\"x\"} 9\n\
        gotrace_c_seconds_bucket{le=\"0.1\",exe=\"x\"} 2\ngotrace_c_seconds_bucket{le=\"1.0\",exe=\"x\"} 2\n\
        gotrace_c_seconds_bucket{le=\"5.0\",exe=\"x\"} 8\ngotrace_c_seconds_bucket{le=\"+Inf\",exe=\"x\"} 9\n# EOF\n");
    let Some(Data::Histogram(histogram)) = metric.data else { panic!("{metric:?}") };
    assert_eq!((&*metric.unit, histogram.aggregation_temporality), ("s", CUMULATIVE));
    let [point] = &histogram.data_points[..] else { panic!("{histogram:?}") };
    assert_eq!((point.count, point.sum), (9, Some(12.5)));
    assert_eq!(point.explicit_bounds, [0.1, 1.0, 5.0]);
    assert_eq!(point.bucket_counts, [2, 0, 6, 1]);
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (100, 500));
    assert_eq!(told(&point.attributes), [("exe", "x")]);
}

#[test]
fn what_nobody_has_is_not_sent_and_a_number_of_things_has_no_unit() {
    assert!(sent("# HELP a b\n# TYPE a histogram\n# HELP c d\n# TYPE c counter\n# EOF\n").is_empty());
    let units = ["gotrace_processes", "gotrace_allocated_bytes", "gotrace_gc_pause_seconds", "a_hit_ratio"];
    assert_eq!(units.map(unit), ["", "By", "s", "1"]);
}
