//! Every new process of a binary, whoever starts it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::number;
use crate::support::{Fixture, fixture, gotrace, nethttp, parse};

/// A gotrace that watches, with its probes in place.
pub(super) struct Watcher {
    child: Child,
}

impl Watcher {
    pub(super) fn of(fixture: &Fixture, output: &Path) -> Self {
        Self::by(&[fixture.path.as_os_str()], output)
    }

    fn by(which: &[&OsStr], output: &Path) -> Self {
        let mut command = gotrace();
        command.args(["watch", "-o"]).arg(output).args(which).stderr(Stdio::piped());
        let mut child = command.spawn().expect("gotrace runs");
        // Its first line says that it watches.
        let stderr = child.stderr.as_mut().expect("a pipe");
        let mut said = Vec::new();
        let mut byte = [0; 1];
        while !said.ends_with(b"\n") && std::io::Read::read(stderr, &mut byte).expect("a byte") == 1 {
            said.push(byte[0]);
        }
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("watching"), "{said}");
        Self { child }
    }

    /// Ctrl-C, when so many starts were told.
    fn end_after(self, starts: usize, output: &Path) -> Vec<Value> {
        parse(&self.told_after(starts, output))
    }

    /// The same, as text.
    pub(super) fn told_after(mut self, starts: usize, output: &Path) -> String {
        wait_for(starts, output);
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(self.child.wait().expect("it ends").success());
        std::fs::read_to_string(output).expect("what was told")
    }
}

/// Waits until so many starts were told.
pub(super) fn wait_for(starts: usize, output: &Path) {
    let patience = Instant::now() + Duration::from_secs(60);
    let told = || std::fs::read_to_string(output).map_or(0, |text| text.matches("\"summary\"").count());
    while told() < starts && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The lines of each start.
fn starts(lines: &[Value]) -> Vec<&[Value]> {
    lines.split_inclusive(|line| line["type"] == "summary").collect()
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_new_process_is_told_by_itself_and_an_old_one_is_not() {
    let fixture = nethttp();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("starts.ndjson");
    let mut old = Command::new(&fixture.path).args(["-sleep", "60s"]).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Read::read_exact(old.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let watcher = Watcher::of(&fixture, &output);
    let new: Vec<Child> =
        (0..20).map(|_| Command::new(&fixture.path).stdout(Stdio::null()).spawn().unwrap()).collect();
    let mut pids: Vec<u64> = new.iter().map(|child| u64::from(child.id())).collect();
    for mut child in new {
        assert!(child.wait().unwrap().success());
    }
    let lines = watcher.end_after(20, &output);
    old.kill().unwrap();
    old.wait().unwrap();

    let starts = starts(&lines);
    let mut told: Vec<u64> = starts.iter().map(|start| number(&start[0]["pid"])).collect();
    told.sort_unstable();
    pids.sort_unstable();
    assert_eq!(told, pids);
    for start in starts {
        assert_eq!(number(&start[0]["ppid"]), u64::from(std::process::id()));
        let summary = start.last().unwrap();
        assert_eq!((&summary["complete"], &summary["ended"]), (&true.into(), &"running".into()), "{summary}");
        let inits = start.iter().filter(|line| line["type"] == "init").count();
        assert!(inits > 50, "{inits} inits");
        let phases: u64 = start
            .iter()
            .filter(|line| line["type"] == "phase")
            .map(|phase| number(&phase["duration_ns"]))
            .sum();
        assert_eq!(number(&summary["to_main_ns"]), phases, "from the exec on without a gap");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_process_that_ends_before_main_is_told_and_so_is_one_that_becomes_another() {
    for (program, ended) in [("exitininit", "gone"), ("killininit", "gone"), ("execininit", "replaced")] {
        let fixture = fixture(program);
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("starts.ndjson");
        let watcher = Watcher::of(&fixture, &output);
        Command::new(&fixture.path).stdout(Stdio::null()).status().unwrap();
        let lines = watcher.end_after(1, &output);
        let summary = lines.last().unwrap();
        assert_eq!((&summary["ended"], &summary["to_main_ns"]), (&ended.into(), &Value::Null), "{summary}");
        assert_eq!(starts(&lines).len(), 1);
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn starts_are_appended_and_compared() {
    let fixture = nethttp();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("starts.ndjson");
    for starts in [1, 2] {
        let watcher = Watcher::of(&fixture, &output);
        Command::new(&fixture.path).stdout(Stdio::null()).status().unwrap();
        watcher.end_after(starts, &output);
    }
    let diff = gotrace().arg("diff").args([&output, &output]).output().unwrap();
    assert!(String::from_utf8_lossy(&diff.stdout).contains(": 2 runs of nethttp"));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_program_of_processes_that_run_is_watched_by_their_name() {
    let fixture = nethttp();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("starts.ndjson");
    // A name of its own, so that no other test's process has it.
    let program = folder.path().join("watched-by-name");
    std::fs::copy(&fixture.path, &program).unwrap();
    let running = || {
        let mut command = Command::new(&program);
        let mut child = command.args(["-sleep", "60s"]).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        child
    };
    let old = [running(), running()];
    let watcher = Watcher::by(&["--name".as_ref(), "watched-by-name".as_ref()], &output);
    let mut new = Command::new(&program).stdout(Stdio::null()).spawn().unwrap();
    assert!(new.wait().unwrap().success());
    let lines = watcher.end_after(1, &output);
    for mut child in old {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let pids: Vec<u64> = starts(&lines).iter().map(|start| number(&start[0]["pid"])).collect();
    assert_eq!(pids, [u64::from(new.id())]);
}
