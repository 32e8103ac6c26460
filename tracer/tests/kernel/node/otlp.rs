//! Starts as traces, and metrics (`otlp/metrics.rs`), received with OpenTelemetry's own messages (tests/fixtures/otlp/receiver.py).

mod metrics;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver as Lines};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::groups::{Container, hierarchy};
use super::{Agent, PATIENCE, run, select};
use crate::number;
use crate::support::{Fixture, fixture, inittrace, nethttp};

/// The receiver, and what it says.
struct Receiver {
    child: Child,
    url: String,
    lines: Lines<Value>,
}

impl Receiver {
    /// One that gives these answers.
    fn answering(answers: &[&str]) -> Self {
        let messages = std::env::var_os("GOTRACE_OTLP").expect("GOTRACE_OTLP names OpenTelemetry's messages");
        let script = Path::new("tests/fixtures/otlp/receiver.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args(answers)
            .env("PYTHONPATH", messages)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let port = lines.next().expect("its port");
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = lines.map(|line| serde_json::from_str(&line).expect("a line of JSON"));
            lines.try_for_each(|line: Value| say.send(line))
        });
        Self { child, url: format!("http://127.0.0.1:{port}"), lines: said }
    }

    fn next(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("something is sent")
    }

    /// The next request, without its spans.
    fn request(&self) -> Value {
        loop {
            let line = self.next();
            if line.get("request").is_some() {
                return line;
            }
        }
    }

    /// Spans, until there are roots of so many starts and all that is in the same request.
    fn spans(&self, starts: usize) -> Vec<Value> {
        let mut spans: Vec<Value> = Vec::new();
        let roots = |spans: &[Value]| spans.iter().filter(|span| span["parent"] == "").count();
        while roots(&spans) < starts {
            spans.extend(Some(self.next()).filter(|line| line.get("trace").is_some()));
        }
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(500)) {
            spans.extend(Some(line).filter(|line| line.get("trace").is_some()));
        }
        assert_eq!(roots(&spans), starts, "{spans:?}");
        spans
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A copy of a fixture under a name that nobody else runs.
fn copy(fixture: &Fixture, folder: &Path, name: &str) -> PathBuf {
    let copy = folder.join(name);
    std::fs::copy(&fixture.path, &copy).expect("a copy");
    copy
}

/// An agent that sends what it sees of these to that URL, and watches all of them.
fn agent(programs: &[PathBuf], url: &str, variables: &[(&str, &str)]) -> Agent {
    agent_with(programs, url, &[], variables)
}

/// The same, told more.
fn agent_with(programs: &[PathBuf], url: &str, more: &[&str], variables: &[(&str, &str)]) -> Agent {
    let mut args = select(programs);
    args.extend(["--otlp", url].iter().chain(more).map(|arg| (*arg).to_owned()));
    let agent = Agent::with("127.0.0.1:0", &args, variables);
    agent.watches(programs.len() as f64);
    agent
}

/// Where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("its address"))
}

fn unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_nanos()).expect("before 2554")
}

fn duration(span: &Value) -> u64 {
    number(&span["end"]) - number(&span["start"])
}

/// Those of the start whose executable has that name, the root first.
fn trace_of<'a>(spans: &'a [Value], exe: &str) -> Vec<&'a Value> {
    let trace: Vec<&Value> =
        spans.iter().filter(|span| span["resource"]["process.executable.name"] == exe).collect();
    assert_eq!(trace[0]["parent"], "", "{trace:?}");
    trace
}

fn named<'a>(trace: &[&'a Value], name: &str) -> &'a Value {
    trace.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no {name} in {trace:?}"))
}

/// Every span is one trace's, and lies within the one that it is a part of.
fn assert_nested(trace: &[&Value]) {
    for span in trace {
        assert_eq!(
            (&span["trace"], &span["scope"], &span["kind"]),
            (&trace[0]["trace"], &"gotrace".into(), &1.into())
        );
        let parent = trace.iter().find(|parent| parent["id"] == span["parent"]);
        assert_eq!(parent.is_none(), span["parent"] == "", "{span}");
        if let Some(parent) = parent {
            assert!(
                number(&parent["start"]) <= number(&span["start"])
                    && number(&span["end"]) <= number(&parent["end"]),
                "{span} in {parent}"
            );
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_start_is_a_trace_with_what_go_itself_says_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, server) = (fixture("initsleep"), nethttp());
    let programs = [copy(&slow, folder.path(), "otlp-slow"), copy(&server, folder.path(), "otlp-server")];
    let receiver = Receiver::answering(&[]);
    let variables = [
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=te%20st,process.pid=1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a-secret"),
    ];
    let agent = agent(&programs, &receiver.url, &variables);
    let container = hierarchy().map(|root| Container::make(&root, 0));

    let before = unix_ns();
    let mut command = Command::new(&programs[0]);
    command.env("NAP", "150ms").env("GODEBUG", "inittrace=1").stdout(Stdio::null()).stderr(Stdio::piped());
    if let Some(container) = &container {
        container.enter(&mut command);
    }
    let child = command.spawn().unwrap();
    let slow_pid = child.id();
    let output = child.wait_with_output().unwrap();
    let after = unix_ns();
    let mut serving =
        Command::new(&programs[1]).args(["-serve", "60s"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(serving.stdout.take().unwrap()).lines().map_while(Result::ok);
    let main: u64 =
        lines.next().and_then(|line| line.strip_prefix("main.main unix_ns=")?.parse().ok()).unwrap();
    assert!(lines.next().is_some_and(|line| line.starts_with("listening on")));
    let listens = unix_ns();

    let request = receiver.next();
    assert_eq!(request["request"], "/v1/traces");
    assert_eq!(request["headers"]["content-type"], "application/x-protobuf");
    assert_eq!(request["headers"]["authorization"], "Bearer a-secret");
    let spans = receiver.spans(2);

    // Of the slow one: Go's own account of the same run.
    let trace = trace_of(&spans, "otlp-slow");
    assert_nested(&trace);
    let root = trace[0];
    assert_eq!(root["name"], "startup");
    assert!(before <= number(&root["start"]) && number(&root["end"]) <= after, "{root}");
    let oracle = inittrace(&output.stderr);
    let ours: Vec<&str> =
        trace.iter().filter_map(|span| span["attributes"]["gotrace.package"].as_str()).collect();
    assert_eq!(root["attributes"]["gotrace.inits"], ours.len());
    let mut rest = ours.iter();
    for init in &oracle {
        assert!(
            rest.any(|package| *package == init.package),
            "{} is not in its place in {ours:?}",
            init.package
        );
    }
    for (package, least) in [("nap", 150), ("mixed", 20), ("spin", 2)] {
        let span = named(&trace, &format!("init example.com/initsleep/{package}"));
        let said = oracle.iter().find(|init| init.package.ends_with(package)).unwrap().milliseconds;
        let ours = duration(span) as f64 / 1e6;
        assert!(ours >= f64::from(least) && (ours - said).abs() < 0.2 * said + 1.0, "{ours} and {said}");
    }
    assert_eq!(root["attributes"]["gotrace.slowest_init"], "example.com/initsleep/nap");
    assert_eq!(root["attributes"]["gotrace.outcome"], "main");
    assert_eq!(root["attributes"]["gotrace.joined_late"], false);
    assert_eq!(root["attributes"]["gotrace.records_lost"], 0);
    let phases: Vec<&str> = trace
        .iter()
        .filter(|span| span["parent"] == root["id"])
        .filter_map(|span| span["name"].as_str())
        .collect();
    assert_eq!(phases, ["dynamic_link", "runtime_bootstrap", "runtime_init", "package_init"]);
    let durations: u64 =
        trace.iter().filter(|span| span["parent"] == root["id"]).map(|span| duration(span)).sum();
    assert_eq!(durations, duration(root));
    assert_eq!(duration(root), number(&root["attributes"]["gotrace.to_main_ns"]));
    let resource = &root["resource"];
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for (key, value) in [
        ("service.name", "otlp-slow"),
        ("process.executable.path", programs[0].to_str().unwrap()),
        ("process.runtime.name", "go"),
        ("process.runtime.version", &format!("go{}", slow.go.as_deref().unwrap())),
        ("gotrace.module", "example.com/initsleep"),
        ("deployment.environment.name", "te st"),
        ("host.name", host.trim_end()),
    ] {
        assert_eq!(resource[key], value, "{key}");
    }
    assert_eq!(resource["process.pid"], slow_pid);
    if let Some(container) = &container {
        let told = ["container.id", "k8s.namespace.name", "k8s.pod.name", "container.runtime"];
        let told = told.map(|key| resource[key].as_str().unwrap_or_default());
        assert_eq!(told, [&*container.id, &container.namespace, &container.pod, "containerd"]);
        assert!(resource["k8s.pod.uid"].is_string());
    }

    // Of the server: the program's own clock, and when it answered.
    let trace = trace_of(&spans, "otlp-server");
    assert_nested(&trace);
    let (root, in_main) = (trace[0], named(&trace, "main"));
    assert_eq!(root["resource"]["process.pid"], serving.id());
    assert!(root["resource"].get("k8s.pod.name").is_none() && root["resource"].get("container.id").is_none());
    let late = main.checked_sub(number(&in_main["start"])).expect("it says so when it is in main.main");
    assert!(late < 20_000_000, "{late} ns");
    assert_eq!(root["end"], in_main["end"]);
    assert!((main..=listens).contains(&number(&root["end"])), "{main} {root} {listens}");
    assert_eq!(number(&root["attributes"]["gotrace.to_ready_ns"]), duration(root));
    let inits = number(&root["attributes"]["gotrace.inits"]);
    let told = trace.iter().filter(|span| span["attributes"].get("gotrace.package").is_some()).count() as u64;
    assert_eq!((told, number(&root["attributes"]["gotrace.inits_left_out"])), (32, inits - 32));

    agent.wait_for("both", |agent| agent.sum("gotrace_otlp_starts_sent_total") == 2.0);
    assert_eq!(agent.sum("gotrace_otlp_starts_dropped_total"), 0.0);
    serving.kill().unwrap();
    serving.wait().unwrap();
    let said = agent.end();
    assert!(said.iter().all(|line| !line.contains("secret")), "{said:?}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_the_receiver_cannot_take_yet_is_sent_again_and_what_it_does_not_want_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let program = copy(&fixture("initsleep"), folder.path(), "otlp-again");
    let receiver = Receiver::answering(&["503", "ok", "partial", "400"]);
    let agent = agent(std::slice::from_ref(&program), &receiver.url, &[]);
    run(&program);
    assert_eq!(receiver.request()["answer"], "503");
    let asked = Instant::now();
    // It comes once, after the three seconds that the receiver asked for.
    assert_eq!(receiver.request()["answer"], "ok");
    assert!(asked.elapsed() >= Duration::from_millis(2900), "{:?}", asked.elapsed());
    let first = receiver.spans(1);
    agent.wait_for("the first", |agent| agent.sum("gotrace_otlp_starts_sent_total") == 1.0);
    run(&program);
    let second = receiver.spans(1);
    assert_ne!(first[0]["trace"], second[0]["trace"]);
    agent.wait_for("the second", |agent| {
        agent.sum("gotrace_otlp_spans_rejected_total") == second.len() as f64
    });
    run(&program);
    agent.wait_for("the third", |agent| agent.sum("gotrace_otlp_starts_dropped_total") == 1.0);
    let dropped = agent.samples("gotrace_otlp_starts_dropped_total");
    assert_eq!(dropped["{reason=\"refused\"}"], 1.0);
    assert_eq!(agent.sum("gotrace_otlp_starts_sent_total"), 2.0);
    let said = agent.end().join("\n");
    for word in ["503 Service Unavailable", "too old", "400 Bad Request", "unsent=1"] {
        assert!(said.contains(word), "{word} in {said}");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_waits_is_sent_at_the_end_and_who_does_not_answer_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let program = copy(&fixture("initsleep"), folder.path(), "otlp-end");
    let seen = |agent: &Agent| agent.sum("gotrace_starts_total") == 1.0;
    // Sent at the end, long before its time.
    let receiver = Receiver::answering(&[]);
    let mut sending = agent(std::slice::from_ref(&program), &receiver.url, &[]);
    run(&program);
    sending.wait_for("the start", seen);
    let said = sending.end();
    assert_eq!(trace_of(&receiver.spans(1), "otlp-end")[0]["name"], "startup");
    assert!(said.last().is_some_and(|line| line.contains("every start was sent")), "{said:?}");
    // One that hangs, at the end (`end` says within a second).
    let receiver = Receiver::answering(&["hang"]);
    sending = agent(std::slice::from_ref(&program), &receiver.url, &[]);
    run(&program);
    assert_eq!(receiver.request()["answer"], "hang");
    let said = sending.end().join("\n");
    assert!(said.contains("unsent=1"), "{said}");
    // And one that is not there: the agent works on, and says so once.
    sending = agent(std::slice::from_ref(&program), &nobody(), &[]);
    run(&program);
    std::thread::sleep(Duration::from_secs(8));
    run(&program);
    sending.wait_for("both starts", |agent| agent.sum("gotrace_starts_total") == 2.0);
    assert!(sending.get("/readyz").starts_with("HTTP/1.1 200 "));
    let said = sending.end();
    assert_eq!(said.iter().filter(|line| line.contains("tried again")).count(), 1, "{said:?}");
    assert!(said.last().is_some_and(|line| line.contains("unsent=2")), "{said:?}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_start_that_was_joined_late_says_since_when_and_names_no_slowest_init() {
    let folder = tempfile::tempdir().unwrap();
    let program = copy(&fixture("initsleep"), folder.path(), "otlp-late");
    let receiver = Receiver::answering(&[]);
    let args = ["--select", "module=example.com/initsleep", "--otlp", &receiver.url].map(str::to_owned);
    let agent = Agent::of(&args);
    agent.wait_for("readiness", |agent| agent.get("/readyz").starts_with("HTTP/1.1 200 "));
    // The agent comes to know the program while it sleeps.
    let mut late = Command::new(&program);
    assert!(late.env("NAP", "3s").stdout(Stdio::null()).status().unwrap().success());
    let is_it =
        |line: &Value| line["resource"]["process.executable.name"] == "otlp-late" && line["parent"] == "";
    let root = std::iter::repeat_with(|| receiver.next()).find(is_it).unwrap();
    let told = &root["attributes"];
    assert_eq!((&told["gotrace.outcome"], &told["gotrace.joined_late"]), (&"main".into(), &true.into()));
    assert_eq!(number(&told["gotrace.to_main_ns"]), duration(&root));
    // Since what was seen first: what came after the sleep, or something before it where the program took its time.
    assert!((1..duration(&root)).contains(&number(&told["gotrace.joined_late_ns"])), "{root}");
    assert!(told.get("gotrace.inits").is_none() && told.get("gotrace.slowest_init").is_none(), "{root}");
    agent.end();
}
