//! Trace event files in a reader that is not ours: the engine of the performance panel in Chrome's DevTools, as the npm
//! registry has it, served here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use gotrace::export::Told;

use super::page::Page;
use super::reports::{file, running, start, waits};
use super::server::Server;
use super::trace_event::{self, Trace};

/// The engine as a page. Of two packages that it knows web sites by, nothing is asked here.
const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<script type="importmap">{"imports": {"third-party-web": "/none.js", "legacy-javascript": "/none.js"}}</script>
<script type="module">
import * as Trace from '/engine/models/trace/trace.js';
const nanos = micros => Math.round(micros * 1000);
const model = Trace.TraceModel.Model.createWithAllHandlers();
await model.parse((await (await fetch('/some.trace.json')).json()).traceEvents);
const { Renderer: { processes, entryToNode }, Flows: { flows } } = model.parsedTrace().data;
const threads = [...processes.values()].flatMap(one => [...one.threads]);
const track = new Map(threads.map(([tid, thread]) => [tid, thread.name]));
const slices = threads.flatMap(([tid, thread]) => thread.entries.filter(one => one.ph === 'X').map(one =>
    [thread.name, entryToNode.get(one).depth, one.name, nanos(one.ts), nanos(one.ts + one.dur)]));
const ends = flow => flow.toSorted((a, b) => a.ts - b.ts).map(one => `${track.get(one.tid)}: ${one.name}`);
globalThis.told = { slices, flows: flows.map(ends) };
</script>
"#;

/// What the engine makes of a report, and what the file says by the format's rules.
fn read(told: Told<'_>) -> (serde_json::Value, Trace) {
    let engine = PathBuf::from(
        std::env::var_os("GOTRACE_TRACE_ENGINE").expect("GOTRACE_TRACE_ENGINE names the engine's folder"),
    );
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(engine, folder.path().join("engine")).unwrap();
    std::fs::write(folder.path().join("none.js"), "export default {};").unwrap();
    std::fs::write(folder.path().join("index.html"), PAGE).unwrap();
    let path = file(told, folder.path(), "some.trace.json");
    let server = Server::of(folder.path());
    let mut page = Page::open(&format!("{}/index.html", server.address()));
    page.wait_until("'told' in globalThis");
    // What it cannot read it says there.
    page.assert_stays_at(&server);
    (page.eval("told"), trace_event::read(&std::fs::read_to_string(path).unwrap()))
}

/// Fails unless it sees each slice where it is, within as many as it is in.
fn assert_same(told: Told<'_>, least: usize) -> Trace {
    let (seen, trace) = read(told);
    let slices = trace.slices.iter();
    let expected: BTreeSet<String> = slices
        .map(|one| serde_json::json!([one.track, one.within.len(), one.name, one.start, one.end]).to_string())
        .collect();
    let found: BTreeSet<String> =
        seen["slices"].as_array().unwrap().iter().map(ToString::to_string).collect();
    assert!(expected.len() >= least, "{expected:#?}");
    assert_eq!(found, expected);
    let flows: BTreeSet<String> = seen["flows"].as_array().unwrap().iter().map(ToString::to_string).collect();
    let expected: BTreeSet<String> =
        trace.flows.iter().map(|(from, to)| serde_json::json!([from, to]).to_string()).collect();
    assert_eq!(flows, expected);
    trace
}

#[test]
#[ignore = "needs Chromium"]
fn it_reads_how_a_program_started() {
    let trace = assert_same(Told::Start(&start(12)), 30);
    assert_eq!(trace.of("init").count(), 12);
}

#[test]
#[ignore = "needs Chromium"]
fn it_reads_what_a_program_was_blocked_on() {
    let mut report = running(40);
    report.parking = Some(waits(&report));
    let trace = assert_same(Told::Running(&report), 40);
    let ends =
        ["goroutine 902: makes goroutine 901 ready", "goroutine 901, made at __proto__ main.go:20: ready"];
    let [from, to] = ends.map(str::to_owned);
    assert_eq!(trace.flows, [(from, to)]);
}
