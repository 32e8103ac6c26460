//! What gotrace says that it cost a start, beside how much more processor time starts take with it than without:
//! of which, unlike of the wall's, others' load takes next to nothing.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::number;
use crate::support::{Fixture, fixture, gotrace, nethttp, trace};
use crate::watching::{Watcher, wait_for};

/// So many starts each way, by turns.
const TURNS: usize = 12;

/// Ten thousand inits, and next to nothing else: most of its start is what gotrace costs.
fn many() -> Fixture {
    fixture("manypkgs")
}

/// The processor time that the program takes, which ends at once in `main.main`, in nanoseconds.
#[expect(clippy::zombie_processes, reason = "wait4 waits for it, and says what it took")]
fn by_itself(fixture: &Fixture) -> u64 {
    let child = Command::new(&fixture.path).stderr(Stdio::null()).spawn().expect("it runs");
    let pid = i32::try_from(child.id()).expect("a process's number");
    let mut status = 0;
    // SAFETY: all zeroes is a value of it.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: writes to the two variables; nobody else waits for the child.
    let ended = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    assert_eq!((ended, status), (pid, 0));
    let nanos = |time: libc::timeval| time.tv_sec * 1_000_000_000 + time.tv_usec * 1_000;
    u64::try_from(nanos(usage.ru_utime) + nanos(usage.ru_stime)).expect("a time")
}

/// What a report says of its start: its processor time, and what gotrace cost it. The lines of its many inits
/// are not looked at.
struct Told {
    on_cpu: u64,
    overhead: u64,
}

impl Told {
    fn of(report: &str) -> Self {
        let lines = |text: &'static str| {
            let found = report.lines().filter(move |line| line.contains(text));
            found.map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        };
        let summary = lines("\"type\":\"summary\"").next().expect("a summary");
        assert_eq!(summary["dropped"], 0, "{summary}");
        let on_cpu = lines("\"type\":\"phase\"").filter_map(|phase| phase["on_cpu_ns"].as_u64()).sum();
        Self { on_cpu, overhead: number(&summary["target_overhead_ns"]) }
    }
}

fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

/// Within a factor of two.
fn assert_near(said: u64, found: u64) {
    assert!(said >= found / 2 && said <= found * 2, "{said} ns are said, {found} ns are found");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_gotrace_costs_a_start_is_how_much_more_processor_time_it_takes() {
    let fixture = many();
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.ndjson");
    let (mut alone, mut with, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        alone.push(by_itself(&fixture));
        let mut command = gotrace();
        command.args(["run", "-q", "--until", "exit", "-o"]).arg(&report).arg("--").arg(&fixture.path);
        assert!(command.stderr(Stdio::null()).status().expect("gotrace runs").success());
        let told = Told::of(&std::fs::read_to_string(&report).expect("a report"));
        with.push(told.on_cpu);
        said.push(told.overhead);
    }
    assert_near(median(said), median(with).saturating_sub(median(alone)));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_a_watch_costs_a_start_is_how_much_more_processor_time_it_takes() {
    let fixture = many();
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("starts.ndjson");
    let alone = (0..TURNS).map(|_| by_itself(&fixture)).collect();
    let watcher = Watcher::of(&fixture, &output);
    let mut with = Vec::new();
    for turn in 1..=TURNS {
        with.push(by_itself(&fixture));
        // gotrace is not to tell one while the next one runs.
        wait_for(turn, &output);
    }
    let told = watcher.told_after(TURNS, &output);
    let summaries = told.lines().filter(|line| line.contains("\"type\":\"summary\""));
    let said = summaries.map(|line| {
        let summary: Value = serde_json::from_str(line).expect("JSON");
        number(&summary["target_overhead_ns"])
    });
    assert_near(median(said.collect()), median(with).saturating_sub(median(alone)));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_is_not_measured_is_not_told() {
    let fixture = nethttp();
    let traced = trace(&fixture, &["--heap"], &fixture.args);
    assert_eq!(traced.summary()["target_overhead_ns"], Value::Null);
}
