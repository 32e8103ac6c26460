//! `gotrace attach`, on programs whose place is known.

mod dump;
mod goroutines;
mod running;
mod stuck;
mod waits;
mod wakeups;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

pub(super) use self::stuck::BlackHole;
use crate::support::{Fixture, assert_in_schema, gotrace, parse};

/// A program that runs, and does not outlive the test.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) folder: tempfile::TempDir,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stderr = fs::File::create(folder.path().join("stderr")).expect("a file for standard error");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        Self { child, folder }
    }

    pub(super) fn stuck(fixture: &Fixture, way: &str, on: &str) -> Self {
        let mut command = Command::new(&fixture.path);
        command.env("STUCK_IN", way).env("STUCK_ON", on).env("GODEBUG", "inittrace=1");
        Self::start(command)
    }

    pub(super) fn stderr(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("stderr")).expect("what went to standard error")
    }

    pub(super) fn signal(&self, signal: i32) {
        // SAFETY: the child is ours and not waited for, so the number is still its.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
    }

    /// Attaches until the report says what is waited for: the program needs its time to get there.
    pub(super) fn attach_until(&self, ready: impl Fn(&Attached) -> bool) -> Attached {
        let begin = Instant::now();
        loop {
            let attached = attach(self.child.id());
            if ready(&attached) || begin.elapsed() > Duration::from_secs(60) {
                return attached;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

/// What `gotrace attach --json` said.
pub(super) struct Attached {
    pub(super) lines: Vec<Value>,
}

impl Attached {
    pub(super) fn one(&self, kind: &str) -> &Value {
        let found = self.lines.iter().find(|line| line["type"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} line in {:?}", self.lines))
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.one("startup_status")["stuck"] == true
    }
}

pub(super) fn attach_command(who: &str) -> Output {
    gotrace().args(["attach", "--now", "--json", who]).output().expect("gotrace runs")
}

pub(super) fn attach(pid: u32) -> Attached {
    let output = attach_command(&pid.to_string());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    Attached { lines: parse(std::str::from_utf8(&output.stdout).expect("text")) }
}

pub(super) fn inits_of(fixture: &Fixture) -> u64 {
    let output = gotrace().args(["inspect", "--json"]).arg(&fixture.path).output().expect("gotrace runs");
    let inspected: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_in_schema(&inspected);
    inspected["inits"].as_array().expect("a list of inits").len() as u64
}

pub(super) fn fifo(folder: &Path) -> PathBuf {
    let path = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    path
}
