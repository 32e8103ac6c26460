//! The garbage collector in gotrace's reports, beside what Go says of the same process: gctrace, runtime/metrics and
//! `runtime.MemStats`.

mod account;
mod allocation;
mod assists;
mod cycles;
mod edges;
mod gctrace;
mod incidents;
mod quota;
mod recorded;
mod startup;
mod steady;
mod stops;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::Value;

use self::account::Account;
use crate::blocking::{Attached, Report};
use crate::support::{Fixture, fixtures_of};

/// The fixture as each Go version builds it by default, the oldest first.
fn default_builds() -> Vec<Fixture> {
    let mut found = fixtures_of("collector");
    found.retain(|fixture| fixture.build == "default");
    found.sort_by_key(|fixture| fixture.name.clone());
    found
}

/// The build of the fixture for which one is enough.
fn one_build() -> Fixture {
    default_builds().pop().expect("a default build of collector")
}

/// The fixture, which does one step after the other, and Go's own words of its cycles.
struct Program {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
    /// Where its counts were when it was ready.
    ready: Account,
}

impl Program {
    /// Starts it with gctrace, and what else `GODEBUG` has.
    fn start(fixture: &Fixture, debug: &str) -> Self {
        let mut command = Command::new(&fixture.path);
        command.env("GODEBUG", format!("gctrace=1,{debug}"));
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stderr = fs::File::create(folder.path().join("stderr")).expect("a file");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn();
        let mut child = child.expect("it starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut program = Self { child, stdin, stdout, folder, ready: Account::default() };
        program.ready = Account::read(&program.hear());
        program
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn tell(&mut self, words: &str) {
        writeln!(self.stdin, "{words}").expect("it listens");
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no line of JSON: {line}{}", self.stderr()))
    }

    /// Does a step, and gives its account.
    fn step(&mut self, step: &str) -> Account {
        self.tell(step);
        Account::read(&self.hear())
    }

    /// Attaches, lets it do a step, and gives both sides' words.
    fn under_gotrace(&mut self, step: &str, options: &[&str]) -> (Account, Report) {
        let attached = Attached::to(self.pid(), options);
        let account = self.step(step);
        (account, attached.end())
    }

    /// Where a file of that name may be.
    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a path").to_owned()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).expect("what went to standard error")
    }

    /// Go's lines of gctrace so far.
    fn gctrace(&self) -> Vec<String> {
        self.stderr().lines().filter(|line| line.starts_with("gc ")).map(str::to_owned).collect()
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What gotrace says of a program whose goroutines are made to help the collector.
pub(super) fn assisting(fixture: &Fixture, options: &[&str]) -> Report {
    Program::start(fixture, "").under_gotrace("assists 1024", options).1
}

/// The lines of a type for which something holds.
fn those<'a>(report: &'a Report, kind: &str, which: impl Fn(&Value) -> bool) -> Vec<&'a Value> {
    report.all(kind).into_iter().filter(|line| which(line)).collect()
}

/// Whether a line's stack has that function.
fn is_below(line: &Value, function: &str) -> bool {
    crate::blocking::frames(line).any(|frame| frame.split(' ').next() == Some(function))
}

/// Whether a stop is one of the collector's.
fn is_gc(stop: &Value) -> bool {
    stop["reason"].as_str().is_some_and(|reason| reason.starts_with("GC "))
}
