//! The program ends, or becomes another one, while gotrace gets ready to follow it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{fixture, gotrace};

const PATIENCE: Duration = Duration::from_secs(60);

/// A Go program that becomes another one when it is told to.
struct Becoming {
    child: Child,
    stdin: ChildStdin,
}

impl Becoming {
    fn start() -> Self {
        let mut command = Command::new(fixture("become").path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let stdin = child.stdin.take().expect("a pipe");
        Self { child, stdin }
    }

    fn end(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }

    fn become_other(&mut self) {
        writeln!(self.stdin, "/bin/sleep 60").expect("it listens");
        let begin = Instant::now();
        let is_other =
            || fs::read_to_string(format!("/proc/{}/comm", self.child.id())).expect("it lives") == "sleep\n";
        while !is_other() {
            assert!(begin.elapsed() < PATIENCE, "it goes on");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Whether the process has one of BPF's files open: it has begun to load, and has nearly all of it before it.
fn loads(pid: u32) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|to| to == Path::new("anon_inode:bpf-map"))
}

/// Attaches, and has that happen while gotrace loads its programs; gotrace stands still meanwhile.
fn attach(target: &mut Becoming, options: &[&str], happens: impl FnOnce(&mut Becoming)) -> Output {
    let mut command = gotrace();
    command.args(["attach", "--json", "--duration", "1s"]).args(options).arg(target.child.id().to_string());
    let mut gotrace = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("gotrace runs");
    let begin = Instant::now();
    while !loads(gotrace.id()) {
        assert!(begin.elapsed() < PATIENCE && gotrace.try_wait().expect("it can be asked").is_none());
    }
    let signal = |signal| {
        // SAFETY: the child is ours and not waited for, so the number is still its.
        assert_eq!(unsafe { libc::kill(gotrace.id().cast_signed(), signal) }, 0);
    };
    signal(libc::SIGSTOP);
    happens(target);
    signal(libc::SIGCONT);
    gotrace.wait_with_output().expect("it ends")
}

/// With a probe in the program, and with the kernel's own only.
const WAYS: [&[&str]; 3] = [&[], &["--no-gc"], &["--waits"]];

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_that_ends_before_it_is_attached_to_has_ended() {
    for options in WAYS {
        let mut target = Becoming::start();
        let output = attach(&mut target, options, Becoming::end);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{options:?}: {said}");
        let wanted = format!("process {} ended before gotrace was attached to it", target.child.id());
        assert!(said.contains(&wanted), "{options:?}: {said}");
        assert!(output.stdout.is_empty(), "{options:?}");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_that_becomes_another_before_it_is_attached_to_is_not_followed() {
    for options in WAYS {
        let mut target = Becoming::start();
        let output = attach(&mut target, options, Becoming::become_other);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{options:?}: {said}");
        let wanted = format!("process {} has become another program meanwhile (execve)", target.child.id());
        assert!(said.contains(&wanted), "{options:?}: {said}");
        target.end();
    }
}
