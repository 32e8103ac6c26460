//! A capture of a running program tells what `gotrace attach` told, byte for byte.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::blocking::{Attached, Cued};
use crate::support::{fixtures_of, gotrace};

/// Every format that one report can be written in.
const FORMATS: [&str; 10] =
    ["txt", "ndjson", "svg", "folded", "html", "csv", "pb.gz", "speedscope.json", "trace.json", "gctrace"];

/// The same files in that folder, in formats that hold for the program.
fn files(folder: &Path, gctrace: bool) -> Vec<String> {
    let formats = FORMATS.iter().filter(|format| gctrace || **format != "gctrace");
    formats.map(|format| folder.join("a").with_extension(format).display().to_string()).collect()
}

/// Where a session of `gotrace attach` writes its reports, and a capture.
pub(super) struct Recorded {
    folder: tempfile::TempDir,
    gctrace: bool,
}

impl Recorded {
    /// With the collector's lines, or without.
    pub(super) fn new(gctrace: bool) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), gctrace }
    }

    fn capture(&self) -> String {
        self.folder.path().join("a.gotrace").display().to_string()
    }

    /// What `gotrace attach` is to be told besides.
    pub(super) fn options(&self, more: &[&str]) -> Vec<String> {
        let files = files(self.folder.path(), self.gctrace).into_iter().chain([self.capture()]);
        let outputs = files.flat_map(|file| ["-o".to_owned(), file]);
        outputs.chain(more.iter().map(|option| (*option).to_owned())).collect()
    }

    /// Has the capture told again, and compares.
    pub(super) fn assert_told_again(&self, name: &str, view: &[&str]) {
        let again = tempfile::tempdir().expect("a folder");
        let mut command = gotrace();
        command.arg("report").args(view).arg(self.capture());
        let written = files(again.path(), self.gctrace);
        for file in &written {
            command.arg("-o").arg(file);
        }
        let output = command.output().expect("gotrace runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 5)), "{name}: {said}");
        for (told, again) in files(self.folder.path(), self.gctrace).iter().zip(&written) {
            let [told_bytes, again] = [told, again].map(|file| fs::read(file).expect("a report"));
            // Not every format is text.
            let [told_text, again_text] = [&told_bytes, &again].map(|bytes| String::from_utf8_lossy(bytes));
            // A flame graph may have nothing to show.
            assert!(!told_text.is_empty() || told.ends_with(".folded"), "{name}: {told}");
            let lines = told_text.lines().zip(again_text.lines());
            lines.for_each(|(told_line, again)| assert_eq!(told_line, again, "{name}: {told}"));
            assert!(
                told_bytes == again,
                "{name}: {told} has {} bytes, not {}",
                again.len(),
                told_bytes.len()
            );
        }
    }
}

/// Records what a build of `blocked` does, and compares.
fn compare(build: &str, case: &[&str], options: &[&str], view: &[&str]) {
    let fixture = fixtures_of("blocked").into_iter().rfind(|fixture| fixture.build == build);
    let fixture = fixture.expect("such a build");
    let recorded = Recorded::new(false);
    let mut cued = Cued::start(&fixture, case);
    let options = recorded.options(options);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let attached = Attached::to(cued.pid(), &options);
    cued.go();
    attached.end();
    recorded.assert_told_again(&format!("{} {case:?} {options:?}", fixture.name), view);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_capture_tells_what_the_session_told() {
    for build in ["default", "stripped", "pie", "cgo"] {
        compare(build, &["tcp", "10"], &[], &[]);
    }
    for case in [["fifo", "5"], ["fsync", "3"], ["flock", "5"], ["unix", "5"], ["deadline", "5"]] {
        compare("default", &case, &["--slow", "0s"], &[]);
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_capture_tells_it_whatever_was_asked_for() {
    compare("default", &["tcp", "10"], &["--waits", "--max-overhead", "100"], &[]);
    compare("default", &["tcp", "50"], &["--interval", "100ms", "--slow", "0s"], &[]);
    compare("default", &["fsync", "3"], &["--redact", "--slow", "0s"], &[]);
    compare("default", &["unix", "3"], &["--no-gc", "--flame", "cpu"], &["--flame", "cpu"]);
    compare("default", &["flock", "3"], &["--by", "site"], &["--by", "site"]);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_is_redacted_is_not_in_the_capture() {
    let fixture = fixtures_of("blocked").pop().expect("a build of blocked");
    let recorded = Recorded::new(false);
    let mut cued = Cued::start(&fixture, &["fsync", "3"]);
    let options = recorded.options(&["--redact", "--slow", "0s"]);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let attached = Attached::to(cued.pid(), &options);
    cued.go();
    attached.end();
    let output = gotrace().args(["report", "--json", &recorded.capture()]).output().expect("gotrace runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains(r#""object":"file""#) && !told.contains("inode"), "{told}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_a_killed_gotrace_left_is_told() {
    let fixture = fixtures_of("blocked").pop().expect("a build of blocked");
    let mut cued = Cued::start(&fixture, &["tcp", "20"]);
    let folder = tempfile::tempdir().expect("a folder");
    let (capture, part) = (folder.path().join("a.gotrace"), folder.path().join("a.gotrace.part"));
    let mut command = gotrace();
    command.args(["attach", "-q", "-o"]).arg(&capture).arg(cued.pid().to_string());
    let mut child = command.stderr(Stdio::null()).spawn().expect("gotrace runs");
    thread::sleep(Duration::from_secs(1));
    cued.go();
    // What is told by then: the second checkpoint is made at the third second, and it is in the file a second later.
    thread::sleep(Duration::from_secs(5));
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
    assert!(!capture.exists() && part.exists());
    let begin = Instant::now();
    let output = gotrace().arg("report").arg(&part).output().expect("gotrace runs");
    assert!(begin.elapsed() < Duration::from_secs(20));
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(5), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("gotrace was killed, or the file was cut"), "{told}");
    assert!(told.contains("where goroutines were blocked"), "{told}");
}
