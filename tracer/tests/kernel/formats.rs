//! The formats that other programs read, against the NDJSON lines of the same report.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::blocking::{Attached, Cued};
use crate::number;
use crate::support::speedscope::{self, Profile};
use crate::support::trace_event::{self, Trace};
use crate::support::{fixture, gotrace, parse};

/// One report in three formats.
struct Formats {
    lines: Vec<Value>,
    trace: Trace,
    profiles: Vec<Profile>,
}

impl Formats {
    const NAMES: [&str; 3] = ["report.ndjson", "report.trace.json", "report.speedscope.json"];

    fn read(folder: &Path) -> Self {
        let read = |name| std::fs::read_to_string(folder.join(name)).expect(name);
        let [lines, trace, profiles] = Self::NAMES.map(read);
        let (profiles, _) = speedscope::read(&profiles);
        Self { lines: parse(&lines), trace: trace_event::read(&trace), profiles }
    }

    fn all(&self, kind: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["type"] == kind).collect()
    }

    /// The slices of a category by name, each with how long it is, in order.
    fn slices(&self, category: &str) -> Vec<(String, u64)> {
        let mut slices: Vec<_> =
            self.trace.of(category).map(|slice| (slice.name.clone(), slice.end - slice.start)).collect();
        slices.sort();
        slices
    }

    /// The same of lines.
    fn told(&self, kind: &str, name: &str, wall: &str) -> Vec<(String, u64)> {
        let lines = self.all(kind);
        let told = lines.iter().filter(|line| line[wall].is_u64());
        let mut told: Vec<_> = told.map(|line| (text(&line[name]), number(&line[wall]))).collect();
        told.sort();
        told
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_start_is_the_same_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = gotrace();
    command.args(["run", "-q", "--until", "exit"]);
    for name in Formats::NAMES {
        command.arg("-o").arg(folder.path().join(name));
    }
    // An init that waits for an answer.
    let program = fixture("slowinit").path;
    let output = command.env("SLOWINIT", "http").arg("--").arg(program).output().unwrap();
    let formats = Formats::read(folder.path());
    let said = String::from_utf8_lossy(&output.stderr);

    let inits: Vec<_> =
        formats.slices("init").into_iter().map(|(name, wall)| (name[5..].to_owned(), wall)).collect();
    assert_eq!(inits, formats.told("init", "package", "wall_ns"), "{said}");
    assert_eq!(formats.slices("init_function"), formats.told("init_function", "function", "wall_ns"));
    let phases: Vec<_> = formats
        .told("phase", "name", "duration_ns")
        .into_iter()
        .filter(|(name, _)| name != "ready")
        .collect();
    assert_eq!(formats.slices("phase"), phases);
    assert_eq!(formats.slices("wait").len(), formats.all("wait").len());
    assert!(formats.trace.of("wait").any(|wait| wait.args["object"].is_string()), "{:?}", formats.trace);
    for init in formats.trace.of("init") {
        assert!(init.within.iter().any(|around| around.ends_with("_init")), "{init:?}");
    }
    let summary = formats.lines.last().unwrap();
    let [profile] = &formats.profiles[..] else { panic!("{:?}", formats.profiles) };
    assert_eq!(profile.total, number(&summary["to_main_ns"]));
    assert_eq!(formats.trace.other["complete"], summary["complete"]);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_running_program_is_the_same_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Cued::start(&fixture("blocked"), &["tcp", "10"]);
    let outputs: Vec<String> = Formats::NAMES
        .iter()
        .flat_map(|name| ["-o".to_owned(), folder.path().join(name).to_str().unwrap().to_owned()])
        .collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let attached = Attached::to(program.pid(), &outputs);
    program.go();
    attached.end();
    let formats = Formats::read(folder.path());

    let mut shown: BTreeMap<u64, u64> = BTreeMap::new();
    for slice in &formats.trace.slices {
        if slice.args["result"].is_i64() {
            *shown.entry(slice.end - slice.start).or_default() += 1;
        }
    }
    let began = number(&formats.lines[0]["start_ns"]);
    let mut told: BTreeMap<u64, u64> = BTreeMap::new();
    for slow in formats.all("slow") {
        let (end, duration) = (number(&slow["end_ns"]), number(&slow["duration_ns"]));
        *told.entry(duration.min(end - began)).or_default() += 1;
    }
    assert_eq!(shown, told);
    let summary = formats.lines.last().unwrap();
    let [blocked, _] = &formats.profiles[..] else { panic!("{:?}", formats.profiles) };
    assert_eq!(blocked.total, number(&summary["suffered_ns"]));
    assert_eq!(formats.trace.other["slow"], summary["slow"]);
}
