//! System calls of gotrace's own are made to fail, one at a time: it says what is wrong in words, its exit code says so
//! too, and the target goes on with its code as it was.
//!
//! `GOTRACE_FAULTS=whole` tries every point; without it, as many as fit into a minute, others each time.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Server, below, changed};
use crate::support::gotrace;

const LONG: Duration = Duration::from_secs(40);

/// What fails, how, and how many of its calls are tried, evenly among all.
const FAULTS: [(&str, &str, usize); 14] = [
    ("bpf", "EPERM", 24),
    ("bpf", "ENOMEM", 12),
    ("perf_event_open", "EACCES", 4),
    ("openat", "EMFILE", 16),
    ("openat", "EACCES", 8),
    ("read", "EIO", 12),
    ("pread64", "EIO", 16),
    ("mmap", "ENOMEM", 12),
    ("write", "ENOSPC", 6),
    ("ioctl", "EINVAL", 6),
    ("epoll_create1", "EMFILE", 2),
    ("epoll_ctl", "ENOMEM", 4),
    ("readlink", "EACCES", 4),
    ("statx", "EACCES", 6),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Run,
    Attach,
    Watch,
}

/// One call that fails.
#[derive(Clone, Debug)]
struct Point {
    verb: Verb,
    syscall: &'static str,
    error: &'static str,
    /// The how manieth call of gotrace's main thread.
    number: usize,
}

/// gotrace under strace, which looks at its main thread; what it wrote, standard error without strace's own words.
fn traced(server: &Server, verb: Verb, strace: &[String], folder: &Path) -> (Output, String) {
    let report = folder.join("report.ndjson");
    let _ = std::fs::remove_file(&report);
    let mut command = Command::new("strace");
    command.args(["-qq", "-o"]).arg(folder.join("strace")).args(strace).arg(gotrace().get_program());
    match verb {
        Verb::Run => command.args(["run", "-o"]).arg(&report).arg("--").arg(&server.fixture.path),
        Verb::Attach => {
            command.args(["attach", "--json", "--waits", "--duration", "100ms"]).arg(server.pid().to_string())
        }
        Verb::Watch => command.args(["watch", "--json", "--count", "1"]).arg(&server.fixture.path),
    };
    for variable in ["SUDO_UID", "SUDO_GID", "SUDO_USER"] {
        command.env_remove(variable);
    }
    let over = AtomicBool::new(false);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            while verb == Verb::Watch && !over.load(Ordering::SeqCst) {
                let mut start = Command::new(&server.fixture.path);
                start.stdout(Stdio::null()).status().expect("the fixture runs");
                thread::sleep(Duration::from_millis(50));
            }
        });
        let output = command.stdin(Stdio::null()).output().expect("strace runs");
        over.store(true, Ordering::SeqCst);
        output
    });
    let written = match verb {
        Verb::Run => std::fs::read_to_string(report).unwrap_or_default(),
        Verb::Attach | Verb::Watch => String::from_utf8_lossy(&output.stdout).into_owned(),
    };
    (output, written)
}

/// How often the main thread makes a call when all goes well, in order.
#[derive(Clone, Copy, Default)]
struct Calls {
    /// Before gotrace's main begins: the loader's and the standard library's.
    early: usize,
    all: usize,
}

fn calls(server: &Server, verb: Verb, folder: &Path) -> BTreeMap<String, Calls> {
    // The standard library's last step before main (library/std/src/sys/pal/unix/stack_overflow.rs).
    const LAST_EARLY: &str = "sigaltstack";
    let mut names: Vec<&str> = FAULTS.iter().map(|(name, _, _)| *name).collect();
    names.dedup();
    let options = ["-e".to_owned(), format!("trace={LAST_EARLY},{}", names.join(","))];
    let (output, written) = traced(server, verb, &options, folder);
    assert_eq!(output.status.code(), Some(0), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(is_whole(&written), "{verb:?}: {written}");
    let log = std::fs::read_to_string(folder.join("strace")).expect("strace's log");
    let mut calls: BTreeMap<String, Calls> = BTreeMap::new();
    let mut is_early = true;
    for line in log.lines() {
        let Some((name, arguments)) = line.split_once('(') else { continue };
        let call = calls.entry(name.to_owned()).or_default();
        call.all += 1;
        call.early += usize::from(is_early);
        // Before that it only asks whether there is one.
        is_early &= name != LAST_EARLY || arguments.starts_with("NULL");
    }
    assert!(!is_early, "strace has seen no main begin");
    calls
}

fn points(server: &Server, folder: &Path) -> Vec<Point> {
    let mut points = Vec::new();
    for verb in [Verb::Run, Verb::Attach, Verb::Watch] {
        let calls = calls(server, verb, folder);
        for (syscall, error, most) in FAULTS {
            let Calls { early, all } = calls.get(syscall).copied().unwrap_or_default();
            let own = all - early;
            let tried = own.min(most);
            let numbers = (0..tried).map(|index| early + 1 + index * own / tried);
            points.extend(numbers.map(|number| Point { verb, syscall, error, number }));
        }
    }
    points
}

/// Whether every line is an object and the last one the summary.
fn is_whole(report: &str) -> bool {
    let lines: Option<Vec<Value>> = report.lines().map(|line| serde_json::from_str(line).ok()).collect();
    lines.is_some_and(|lines| lines.last().is_some_and(|last| last["type"] == "summary"))
}

/// What is wrong with how gotrace took it.
fn problem(point: &Point, output: &Output, written: &str) -> Option<&'static str> {
    let said = String::from_utf8_lossy(&output.stderr);
    // A program in Rust that gets no memory ends so (std::alloc::handle_alloc_error), by SIGABRT.
    if point.syscall == "mmap" && said.contains("memory allocation of") {
        return None;
    }
    // tokio's own eventfd, to which a write of one never fails (fs/eventfd.c, `eventfd_write`).
    if point.syscall == "write" && said.contains("failed to wake I/O driver") {
        return None;
    }
    if said.contains("panicked") || said.contains("RUST_BACKTRACE") {
        return Some("it panicked");
    }
    match output.status.code() {
        None => Some("a signal ended it"),
        Some(0) => (!is_whole(written)).then_some("its exit code is 0, and its report is not whole"),
        // Words need the call that fails.
        Some(1 | 3 | 4 | 5) if point.syscall == "write" => None,
        Some(1 | 3 | 4 | 5) => (!said.contains("gotrace: ")).then_some("it does not say what is wrong"),
        Some(_) => Some("no such exit code is known"),
    }
}

#[test]
#[ignore = "needs root, BPF, fixtures and strace: cargo xtask test"]
fn a_system_call_that_fails_is_told_and_does_no_harm() {
    let whole = std::env::var_os("GOTRACE_FAULTS").is_some_and(|faults| faults == "whole");
    let mut server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let mut points = points(&server, folder.path());
    let all = points.len();
    assert!(all >= 200, "only {all} points");
    let begin = Instant::now();
    let mut codes: BTreeMap<Option<i32>, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut tried = 0;
    while !points.is_empty() && (whole || begin.elapsed() < LONG) {
        let next = if whole { 0 } else { usize::try_from(below(points.len() as u64)).expect("an index") };
        let point = points.remove(next);
        let Point { verb, syscall, error, number } = &point;
        let options = [
            "-e",
            &format!("trace={syscall}"),
            "-e",
            &format!("inject={syscall}:error={error}:when={number}"),
        ];
        let (output, written) = traced(&server, *verb, &options.map(str::to_owned), folder.path());
        tried += 1;
        *codes.entry(output.status.code()).or_default() += 1;
        let left = changed(server.pid()).len();
        let found = if left > 0 { Some("it left breakpoints") } else { problem(&point, &output, &written) };
        if let Some(problem) = found {
            let said = String::from_utf8_lossy(&output.stderr);
            eprintln!("{point:?}: {problem} ({:?}, {left} left): {said}", output.status);
            problems.push(point.clone());
        }
        server.assert_serves();
    }
    eprintln!("{tried} of {all} points tried; exit codes: {codes:?}");
    assert!(problems.is_empty(), "{} of {tried}: {problems:?}", problems.len());
}
