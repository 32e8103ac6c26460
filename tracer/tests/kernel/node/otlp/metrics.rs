//! The metrics that are sent are those that are served.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Agent, Receiver, agent_with, copy, nobody, run, unix_ns};
use crate::number;
use crate::support::{fixture, nethttp};

const CUMULATIVE: u64 = 2;

impl Receiver {
    /// The metrics that come next and were read after that moment.
    fn metrics(&self, after: u64) -> Value {
        loop {
            let line = self.next();
            if line.get("metrics").is_some() && time(&line) > after {
                return line;
            }
        }
    }

    /// The next request of metrics, however it is answered.
    fn asked(&self) -> Value {
        loop {
            let line = self.request();
            if line["request"] == "/v1/metrics" {
                return line;
            }
        }
    }
}

/// When they were read.
fn time(told: &Value) -> u64 {
    number(&told["metrics"]["gotrace_ready"]["points"][0]["time"])
}

/// The points that have these attributes.
fn points<'a>(told: &'a Value, name: &str, attributes: &[(&str, &str)]) -> Vec<&'a Value> {
    let points = told["metrics"][name]["points"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |point: &&Value| attributes.iter().all(|(key, value)| point["attributes"][key] == *value);
    points.iter().filter(is_it).collect()
}

fn point<'a>(told: &'a Value, name: &str, attributes: &[(&str, &str)]) -> &'a Value {
    let points = points(told, name, attributes);
    assert_eq!(points.len(), 1, "{name} {attributes:?}: {points:?}");
    points[0]
}

/// What is called the same, whoever wrote it.
fn series<'a>(name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let plain = |(key, value): (&str, &str)| match value.parse::<f64>() {
        Ok(bound) if key == "le" => format!("{key}={bound}"),
        _ => format!("{key}={value}"),
    };
    let mut labels: Vec<String> = labels.filter(|(_, value)| !value.is_empty()).map(plain).collect();
    labels.sort();
    format!("{name}{labels:?}")
}

/// What is served.
fn served(agent: &Agent) -> BTreeMap<String, f64> {
    let text = agent.get("/metrics");
    let of = |line: &str| {
        let (text, value) = line.rsplit_once(' ')?;
        let (name, labels) = text.split_once('{').unwrap_or((text, ""));
        // No fixture has a comma in its name.
        let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
        let labels = labels.map(|(key, value)| (key, value.trim_matches('"')));
        name.starts_with("gotrace_").then(|| (series(name, labels), value.parse().expect("a number")))
    };
    text.lines().filter_map(of).collect()
}

/// What was sent, as Prometheus would have it.
fn sent(told: &Value) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for (name, metric) in told["metrics"].as_object().expect("metrics") {
        for point in metric["points"].as_array().expect("points") {
            let attributes = point["attributes"].as_object().expect("attributes");
            let labels =
                || attributes.iter().map(|(key, value)| (key.as_str(), value.as_str().expect("a text")));
            let float = |value: &Value| match value {
                Value::String(text) => text.parse().expect("a number"),
                whole => whole.as_f64().expect("a number"),
            };
            match metric["kind"].as_str().expect("a kind") {
                "gauge" => drop(all.insert(series(name, labels()), float(&point["value"]))),
                "sum" => drop(all.insert(series(&format!("{name}_total"), labels()), float(&point["value"]))),
                "histogram" => {
                    all.insert(series(&format!("{name}_sum"), labels()), float(&point["sum"]));
                    all.insert(series(&format!("{name}_count"), labels()), float(&point["count"]));
                    let bounds = point["bounds"].as_array().expect("bounds").iter();
                    let bounds = bounds.map(|bound| float(bound).to_string()).chain(Some("inf".to_owned()));
                    let bounds: Vec<String> = bounds.collect();
                    let mut up_to = 0.0;
                    for (bound, count) in bounds.iter().zip(point["buckets"].as_array().expect("buckets")) {
                        up_to += float(count);
                        let labels = labels().chain(Some(("le", bound.as_str())));
                        all.insert(series(&format!("{name}_bucket"), labels), up_to);
                    }
                }
                other => panic!("{name} is a {other}"),
            }
        }
    }
    all
}

/// A server that runs until it is dropped.
struct Server(Child);

impl Server {
    fn start(program: &Path) -> Self {
        let mut command = Command::new(program);
        Self(command.args(["-sleep", "60s"]).stdout(Stdio::null()).spawn().expect("it starts"))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_is_sent_is_what_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let programs = [
        copy(&fixture("initsleep"), folder.path(), "otlp-sum"),
        copy(&nethttp(), folder.path(), "otlp-runs"),
    ];
    let old = Server::start(&programs[1]);
    let receiver = Receiver::answering(&[]);
    let variables = [
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.node.name=node-1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a-secret"),
    ];
    std::thread::sleep(Duration::from_millis(500));
    let before = unix_ns();
    let agent = agent_with(&programs, &receiver.url, &["--otlp-metrics", "1s"], &variables);
    let watching = unix_ns();
    let request = receiver.asked();
    assert_eq!(request["headers"]["content-type"], "application/x-protobuf");
    assert_eq!(request["headers"]["authorization"], "Bearer a-secret");
    let first = receiver.metrics(0);
    let resource = &first["resource"];
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for (key, value) in [
        ("service.name", "gotrace"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", "node-1"),
        ("k8s.node.name", "node-1"),
        ("host.name", host.trim_end()),
    ] {
        assert_eq!(resource[key], value, "{key}");
    }
    assert_eq!(first["scope"], "gotrace");

    let begun = unix_ns();
    for _ in 0..3 {
        run(&programs[0]);
    }
    let new = Server::start(&programs[1]);
    agent.wait_for("all that there is to be", |agent| {
        agent.sum("gotrace_starts_total") == 4.0
            && agent.samples("gotrace_gc_cycles_total").len() == 2
            && agent.samples("gotrace_goroutines").len() == 2
    });

    // All of it, but what changes from one moment to the next.
    let earlier = served(&agent);
    let told = receiver.metrics(unix_ns());
    let later = served(&agent);
    let ours = sent(&told);
    let is_own = |name: &str| name.starts_with("gotrace_agent_") || name.starts_with("gotrace_otlp_");
    let names = |all: &BTreeMap<String, f64>| -> Vec<String> {
        all.keys().filter(|name| later.contains_key(*name) && earlier.contains_key(*name)).cloned().collect()
    };
    assert_eq!(names(&ours), names(&later));
    let mut compared = 0;
    for (name, value) in &ours {
        if earlier.get(name) == later.get(name) && !is_own(name) {
            assert_eq!(later.get(name), Some(value), "{name}");
            compared += 1;
        }
    }
    eprintln!("{compared} of {} series are compared", ours.len());
    assert!(compared * 10 > ours.len() * 8, "{compared} of {}", ours.len());

    // Their kinds, and since when they count.
    let slow = [("exe", "otlp-sum"), ("module", "example.com/initsleep")];
    let starts = point(&told, "gotrace_starts", &[&slow[..], &[("outcome", "main")]].concat());
    assert_eq!(starts["value"], 3);
    assert!(starts["attributes"].get("pod").is_none(), "{starts}");
    let metric = |name: &str| {
        let metric = &told["metrics"][name];
        let text = |key: &str| metric[key].as_str().unwrap_or_default().to_owned();
        (text("kind"), text("unit"), metric["temporality"].as_u64(), metric["monotonic"].as_bool())
    };
    let is = |kind: &str, unit: &str, temporality, monotonic| {
        (kind.to_owned(), unit.to_owned(), temporality, monotonic)
    };
    let sum = |unit| is("sum", unit, Some(CUMULATIVE), Some(true));
    assert_eq!(metric("gotrace_starts"), sum(""));
    assert_eq!(metric("gotrace_startup_phase_seconds"), sum("s"));
    assert_eq!(metric("gotrace_allocated_bytes"), sum("By"));
    assert_eq!(metric("gotrace_startup_seconds"), is("histogram", "s", Some(CUMULATIVE), None));
    assert_eq!(metric("gotrace_processes"), is("gauge", "", None, None));
    assert_eq!(metric("gotrace_resident_bytes"), is("gauge", "By", None, None));
    let startup = point(&told, "gotrace_startup_seconds", &slow);
    assert_eq!(number(&startup["count"]), 3);
    let own = number(&point(&told, "gotrace_starts_unsure", &[])["start"]);
    assert!((before..=watching).contains(&own), "{before} {own} {watching}");
    for point in [starts, startup] {
        let start = number(&point["start"]);
        assert!((own..=unix_ns()).contains(&start) && start < number(&point["time"]), "{point}");
        // Nothing was counted before the first start.
        assert!(start >= begun - 2_000_000_000, "{point}");
    }
    // What a process counts is its own; its begin is known to 10 ms.
    let since = |pid: &str| number(&point(&told, "gotrace_gc_cycles", &[("pid", pid)])["start"]);
    assert!(since(&old.pid()) < before - 400_000_000, "{}", since(&old.pid()));
    assert!(since(&new.pid()) > begun - 20_000_000, "{}", since(&new.pid()));
    let next = receiver.metrics(time(&told));
    for (name, attributes) in [
        ("gotrace_starts", vec![("exe", "otlp-sum")]),
        ("gotrace_startup_seconds", vec![("exe", "otlp-sum")]),
        ("gotrace_starts_unsure", vec![]),
        ("gotrace_gc_cycles", vec![("pid", &*new.pid())]),
    ] {
        assert_eq!(
            point(&next, name, &attributes)["start"],
            point(&told, name, &attributes)["start"],
            "{name}"
        );
    }
    assert!(agent.sum("gotrace_otlp_metrics_sent_total") >= 2.0);
    assert_eq!(agent.sum("gotrace_otlp_metrics_failed_total"), 0.0);
    let ended = unix_ns();
    let said = agent.end();
    assert!(said.iter().all(|line| !line.contains("secret")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("the last metrics were sent")), "{said:?}");
    let last = receiver.metrics(ended);
    assert_eq!(point(&last, "gotrace_starts", &[("exe", "otlp-sum")])["value"], 3);
    assert!(point(&last, "gotrace_otlp_starts_sent", &[])["value"].is_u64());
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_the_receiver_did_not_take_is_in_what_is_sent_next() {
    let folder = tempfile::tempdir().unwrap();
    let program = copy(&fixture("initsleep"), folder.path(), "otlp-missed");
    let receiver = Receiver::answering(&["503", "ok", "400", "partial", "ok"]);
    let options = ["--otlp-metrics", "1s"];
    let agent = agent_with(std::slice::from_ref(&program), &receiver.url, &options, &[]);
    assert_eq!(receiver.asked()["answer"], "503");
    let asked = Instant::now();
    run(&program);
    // After the three seconds that the receiver asked for.
    assert_eq!(receiver.asked()["answer"], "ok");
    assert!(asked.elapsed() >= Duration::from_millis(2900), "{:?}", asked.elapsed());
    assert_eq!(point(&receiver.metrics(0), "gotrace_starts", &[])["value"], 1);
    assert_eq!(receiver.asked()["answer"], "400");
    run(&program);
    assert_eq!(receiver.asked()["answer"], "partial");
    let told = receiver.metrics(0);
    let all: usize = told["metrics"]
        .as_object()
        .unwrap()
        .values()
        .map(|metric| metric["points"].as_array().unwrap().len())
        .sum();
    agent.wait_for("those that were not wanted", |agent| {
        agent.sum("gotrace_otlp_data_points_rejected_total") == all as f64
    });
    let told = receiver.metrics(unix_ns());
    assert_eq!(point(&told, "gotrace_starts", &[])["value"], 2);
    let failed =
        |reason: &str| number(&point(&told, "gotrace_otlp_metrics_failed", &[("reason", reason)])["value"]);
    assert_eq!(["unreachable", "refused", "unreadable"].map(failed), [1, 1, 0]);
    agent.wait_for("what was taken", |agent| agent.sum("gotrace_otlp_metrics_sent_total") >= 3.0);
    let said = agent.end().join("\n");
    for (words, times) in [
        ("metrics were not sent, and are tried again: 503 Service Unavailable", 1),
        ("refuses metrics: 400 Bad Request", 1),
        ("does not want some data points: too old", 1),
        ("takes metrics again", 2),
    ] {
        assert_eq!(said.matches(words).count(), times, "{words} in {said}");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn metrics_are_sent_at_the_end_and_who_does_not_answer_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let program = copy(&fixture("initsleep"), folder.path(), "otlp-last");
    let sends = |url: &str, often: &str| {
        agent_with(std::slice::from_ref(&program), url, &["--otlp-metrics", often], &[])
    };
    let seen = |agent: &Agent| agent.sum("gotrace_starts_total") == 1.0;
    // Sent at the end, long before their time.
    let receiver = Receiver::answering(&[]);
    let mut agent = sends(&receiver.url, "1h");
    run(&program);
    agent.wait_for("the start", seen);
    agent.end();
    assert_eq!(point(&receiver.metrics(0), "gotrace_starts", &[])["value"], 1);
    // One that hangs keeps the agent neither from its work nor from its end (`end` says within a second).
    let receiver = Receiver::answering(&["hang"]);
    agent = sends(&receiver.url, "1s");
    assert_eq!(receiver.asked()["answer"], "hang");
    run(&program);
    agent.wait_for("the start", seen);
    assert!(agent.get("/readyz").starts_with("HTTP/1.1 200 "));
    let said = agent.end().join("\n");
    assert!(said.contains("the last metrics were not sent"), "{said}");
    // And one that is not there: it is said once, and tried again.
    agent = sends(&nobody(), "1s");
    run(&program);
    agent.wait_for("tries", |agent| agent.sum("gotrace_otlp_metrics_failed_total") >= 3.0);
    assert!(seen(&agent) && agent.sum("gotrace_otlp_metrics_sent_total") == 0.0);
    let said = agent.end();
    assert_eq!(said.iter().filter(|line| line.contains("tried again")).count(), 1, "{said:?}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn processes_are_asked_before_each_time_when_nobody_else_asks() {
    let folder = tempfile::tempdir().unwrap();
    let program = copy(&nethttp(), folder.path(), "otlp-fresh");
    let receiver = Receiver::answering(&[]);
    let options = ["--otlp-metrics"];
    let variables = [("OTEL_METRIC_EXPORT_INTERVAL", "6000")];
    // Who waits for it to watch asks it, for the last time here.
    let agent = agent_with(std::slice::from_ref(&program), &receiver.url, &options, &variables);
    let first = receiver.metrics(0);
    // What was asked for then is answered by now.
    std::thread::sleep(Duration::from_millis(1500));
    let server = Server::start(&program);
    let second = receiver.metrics(time(&first));
    let apart = time(&second) - time(&first);
    assert!((5_900_000_000..7_000_000_000).contains(&apart), "{apart} ns");
    for name in ["gotrace_threads", "gotrace_goroutines", "gotrace_gc_cycles"] {
        point(&second, name, &[("pid", &server.pid())]);
    }
    agent.end();
}
