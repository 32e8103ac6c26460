//! The blocking report of `gotrace attach`, beside what programs say of their own waits and strace of their calls.

mod bpftrace;
mod counts;
mod forever;
mod many;
mod requests;
mod strace;
mod waits;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::number;
use crate::support::{Fixture, gotrace, parse};

/// No step of these takes this long by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fixture that says when it is ready, begins when it is told to, and stays when it is done.
pub(super) struct Cued {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    folder: TempDir,
    /// What it said when it was ready.
    pub(super) ready: Value,
}

impl Cued {
    pub(super) fn start(fixture: &Fixture, args: &[&str]) -> Self {
        Self::start_with(fixture, args, &[])
    }

    /// The same with more in its environment.
    pub(super) fn start_with(fixture: &Fixture, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the program's files");
        let mut child = Command::new(&fixture.path)
            .args(args)
            .env("BLOCKED_DIR", folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the fixture starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut cued = Self { child, stdin, stdout, folder, ready: Value::Null };
        cued.ready = cued.line()["ready"].take();
        cued
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it begin, and gives what it says when it is done.
    pub(super) fn go(&mut self) -> Value {
        self.stdin.write_all(b"\n").expect("it listens");
        self.line()
    }

    /// Waits until every thread has slept for a while, as they all do when there is nothing to do.
    fn settle(&self) {
        let sleeps = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('S'))
        };
        let all_sleep = || {
            let mut tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads");
            tasks.all(|task| task.is_ok_and(sleeps))
        };
        let begin = Instant::now();
        let mut asleep = 0;
        while asleep < 20 {
            assert!(begin.elapsed() < PATIENCE, "it does not come to rest");
            thread::sleep(Duration::from_millis(10));
            asleep = if all_sleep() { asleep + 1 } else { 0 };
        }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no line of JSON: {line}"))
    }
}

impl Drop for Cued {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

/// What a goroutine of a fixture waited for at one line, as it noted itself.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) function: String,
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) goid: u64,
    pub(super) object: String,
    pub(super) count: u64,
    pub(super) total_ns: u64,
    pub(super) max_ns: u64,
    pub(super) since_ns: u64,
}

impl Entry {
    pub(super) fn all(said: &Value) -> Vec<Self> {
        let entries = serde_json::from_value(said.clone());
        entries.unwrap_or_else(|error| panic!("no entries: {error}: {said}"))
    }

    /// Whether a line's stack has its function at its line: frames read `package.function file.go:12`.
    pub(super) fn is_in(&self, line: &Value) -> bool {
        let file = self.file.rsplit('/').next().unwrap_or_default();
        let frame = format!("{} {file}:{}", self.function, self.line);
        frames(line).any(|there| there == frame)
    }

    /// Whether a line's stack has its function, at whatever line.
    pub(super) fn is_below(&self, line: &Value) -> bool {
        frames(line).filter_map(|frame| frame.split(' ').next()).any(|function| function == self.function)
    }
}

/// The frames of a line's stack, the innermost first.
pub(super) fn frames(line: &Value) -> impl Iterator<Item = &str> {
    line["stack"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// A gotrace that is attached.
pub(super) struct Attached {
    child: Child,
    folder: TempDir,
}

impl Attached {
    /// Attaches, and returns when it is.
    pub(super) fn to(pid: u32, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the report");
        let file = |name: &str| fs::File::create(folder.path().join(name)).expect("a file");
        let mut command = gotrace();
        command.args(["attach", "--json"]).args(options).arg(pid.to_string());
        let child = command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).spawn();
        let mut attached = Self { child: child.expect("gotrace runs"), folder };
        let begin = Instant::now();
        while !attached.said("stderr").contains("Ctrl-C for the report") {
            let ended = attached.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "it ended with {ended:?}: {}", attached.said("stderr"));
            assert!(begin.elapsed() < PATIENCE, "it is not attached: {}", attached.said("stderr"));
            thread::sleep(Duration::from_millis(2));
        }
        attached
    }

    fn said(&self, stream: &str) -> String {
        fs::read_to_string(self.folder.path().join(stream)).expect("what it said")
    }

    /// How often its first thread went to sleep so far, and so was woken.
    pub(super) fn switches(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).expect("a count")
    }

    /// Ctrl-C, and the report.
    pub(super) fn end(self) -> Report {
        self.interrupt();
        self.wait()
    }

    /// The same where something may have been lost, which the exit code says as well.
    pub(super) fn end_complete_or_not(self) -> Report {
        self.interrupt();
        let (code, said, report) = self.ended();
        assert_eq!(code, Some(if report.summary()["complete"] == true { 0 } else { 5 }), "{said}");
        report
    }

    fn interrupt(&self) {
        // SAFETY: the child is ours and not waited for, so the number is still its.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGINT) }, 0);
    }

    /// The report, when it ends by itself.
    pub(super) fn wait(self) -> Report {
        let (code, said, report) = self.ended();
        assert_eq!(code, Some(0), "{said}");
        report
    }

    /// Its exit code, what it said, and the report.
    fn ended(mut self) -> (Option<i32>, String, Report) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(2));
        };
        (status.code(), self.said("stderr"), Report { lines: parse(&self.said("stdout")) })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // A test that failed leaves it there.
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// What `gotrace attach --json` wrote.
pub(super) struct Report {
    pub(super) lines: Vec<Value>,
}

impl Report {
    /// Attaches to a fixture, lets it do what it does, and gives both sides' words.
    pub(super) fn of(fixture: &Fixture, args: &[&str], options: &[&str]) -> (Value, Self) {
        let mut cued = Cued::start(fixture, args);
        let attached = Attached::to(cued.pid(), options);
        let said = cued.go();
        (said, attached.end())
    }

    /// The objects of one type.
    pub(super) fn all(&self, kind: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["type"] == kind).collect()
    }

    /// The last line.
    pub(super) fn summary(&self) -> &Value {
        let last = self.lines.last().expect("a report has lines");
        assert_eq!(last["type"], "summary");
        last
    }

    /// Nothing was lost, and losses are shown.
    pub(super) fn assert_complete(&self, name: &str) {
        assert_eq!(self.summary()["dropped"], 0, "{name}: {}", self.summary());
        assert_eq!(self.losses(), Vec::<&Value>::new(), "{name}");
    }

    /// What was lost, which is always shown, also when it is nothing.
    pub(super) fn losses(&self) -> Vec<&Value> {
        let mut losses = self.all("loss");
        assert!(!losses.is_empty(), "losses are always shown");
        losses.retain(|loss| loss["dropped"] != 0);
        losses
    }

    /// Sums a field over the lines that are asked for.
    pub(super) fn sum(lines: &[&Value], field: &str) -> u64 {
        lines.iter().map(|line| number(&line[field])).sum()
    }
}
