//! Waits whose cause, place, object and length the program itself knows.

use std::thread;

use serde_json::Value;

use super::{Entry, Report, frames};
use crate::number;
use crate::support::{Fixture, fixtures_of};

/// One way to wait.
struct Case {
    /// What `blocked` is told.
    name: &'static str,
    /// How often.
    times: &'static str,
    /// What is waited in: a system call, the network poller.
    kind: &'static str,
    /// The system call, or the one that would have blocked; any of these.
    syscalls: &'static [&'static str],
    /// For what.
    cause: &'static str,
    /// Whether it is what the goroutine is there for, so that nobody suffers from it.
    idle: bool,
    /// Whether the waits are all of what the program measured, and not only a part of it.
    exact: bool,
    /// Whether the goroutine tries again where it waited. What it does instead may be at another line, and when it does
    /// nothing more, the last wait has no end.
    retries: bool,
    /// From which length on a wait is told.
    slow: &'static str,
}

/// What may be between a reading of the program's clock and the call beside it, a switch of goroutines included.
const AROUND_NS: u64 = 100_000;

const fn case(name: &'static str, kind: &'static str, syscalls: &'static [&'static str]) -> Case {
    Case {
        name,
        times: "10",
        kind,
        syscalls,
        cause: "network",
        idle: false,
        exact: true,
        retries: true,
        slow: "1ms",
    }
}

static CASES: [Case; 14] = [
    case("tcp", "netpoll", &["read"]),
    case("unix", "netpoll", &["read"]),
    case("udp", "netpoll", &["recvfrom"]),
    Case { retries: false, ..case("deadline", "netpoll", &["read"]) },
    Case { retries: false, ..case("connect", "netpoll", &["connect"]) },
    case("splice", "netpoll", &["splice"]),
    Case { exact: false, ..case("write", "netpoll", &["write"]) },
    Case { exact: false, ..case("sendfile", "netpoll", &["sendfile"]) },
    Case { cause: "file", ..case("pipe", "netpoll", &["read"]) },
    Case { cause: "file", ..case("fifo", "syscall", &["read"]) },
    // In memory there is nothing to wait for, and a kernel may have written it all before it is asked to.
    Case { cause: "file", times: "3", slow: "100ns", ..case("fsync", "syscall", &["fsync"]) },
    Case { cause: "lock", ..case("flock", "syscall", &["flock"]) },
    Case { cause: "child", ..case("child", "syscall", &["waitid", "wait4"]) },
    Case { idle: true, ..case("accept", "netpoll", &["accept4"]) },
];

fn complaints(fixture: &Fixture, case: &Case) -> Vec<String> {
    let (said, report) = Report::of(fixture, &[case.name, case.times], &["--slow", case.slow]);
    let lost = report.losses().into_iter().map(|loss| format!("{} {}: {loss}", fixture.name, case.name));
    let mut complaints: Vec<_> = lost.collect();
    for entry in Entry::all(&said) {
        let is_there = |line: &Value| if case.retries { entry.is_in(line) } else { entry.is_below(line) };
        let mut lines = report.all("blocking");
        lines.retain(|line| line["kind"] == case.kind && is_there(line));
        lines.retain(|line| case.syscalls.iter().any(|name| line["syscall"] == *name));
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                complaints.push(format!("{} {}: {what}: {lines:?} for {entry:?}", fixture.name, case.name));
            }
        };
        let (count, total) = (Report::sum(&lines, "count"), Report::sum(&lines, "total_ns"));
        let open = u64::from(!case.retries);
        expect(count + open >= entry.count, "too few");
        // Each side's clock readings are within the other's, and a late wake-up is in both.
        let most = entry.total_ns + entry.total_ns / 20;
        let least = if case.exact { entry.total_ns / 20 * 19 } else { entry.total_ns / 4 };
        let least = least.saturating_sub(open * entry.max_ns + entry.count * AROUND_NS);
        expect((least..=most).contains(&total), "another time");
        let longest = lines.iter().map(|line| number(&line["max_ns"])).max().unwrap_or(0);
        expect(longest <= entry.max_ns + entry.max_ns / 20, "longer than the longest");
        expect(lines.iter().all(|line| line["cause"] == case.cause), "another cause");
        let class = if case.idle { "idle" } else { "suffered" };
        expect(lines.iter().all(|line| line["class"] == class), "another class");
        let has_object = |line: &&Value| {
            line["object"].as_str().is_some_and(|object| object.contains(entry.object.as_str()))
        };
        // A connection that is given up is closed when its wait is told, and a child has no descriptor.
        let has_none = entry.object.is_empty() || case.name == "connect";
        expect(has_none || lines.iter().any(has_object), "another object");
        expect(lines.iter().any(|line| line["goid"] == entry.goid), "another goroutine");
    }
    complaints
}

/// What is wrong every time that a case is tried: a hypervisor may take the processor away between two clock readings,
/// and the kernel may be taking another thread's stack, but not again and again.
fn all_complaints(fixture: &Fixture) -> Vec<String> {
    let mut all = Vec::new();
    for case in &CASES {
        let mut found = complaints(fixture, case);
        for _ in 0..2 {
            if found.is_empty() {
                break;
            }
            eprintln!("{}", found.join("\n"));
            found = complaints(fixture, case);
        }
        all.append(&mut found);
    }
    all
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_wait_is_told_with_its_cause_its_place_its_object_and_its_length() {
    let mut all = Vec::new();
    // They wait for the most part, so that some can do so beside each other.
    for some in fixtures_of("blocked").chunks(3) {
        thread::scope(|scope| {
            let tried: Vec<_> = some.iter().map(|fixture| scope.spawn(|| all_complaints(fixture))).collect();
            all.extend(tried.into_iter().flat_map(|tried| tried.join().expect("every case was tried")));
        });
    }
    assert!(all.is_empty(), "{} complaints:\n{}", all.len(), all.join("\n"));
}

/// The scheduler asks for the time as it gives every eighth goroutine its thread: a system call where the kernel's clock
/// cannot be read without one, as in the virtual machines of 6.1.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_wait_is_not_ended_by_the_scheduler_that_asks_for_the_time() {
    for fixture in fixtures_of("blocked") {
        let (said, report) = Report::of(&fixture, &["tcp", "20"], &[]);
        let entry = &Entry::all(&said)[0];
        let mut lines = report.all("blocking");
        lines.retain(|line| line["kind"] == "netpoll" && line["goid"] == entry.goid);
        assert!(lines.iter().all(|line| line["retried"] == true), "{}: {lines:?}", fixture.name);
        assert_eq!(Report::sum(&lines, "count"), entry.count, "{}: {lines:?}", fixture.name);
    }
}

/// C code that sleeps is in a system call whose goroutine no register names.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn c_code_that_sleeps_is_told_with_the_goroutine_that_called_it() {
    let mut fixtures = fixtures_of("blocked");
    fixtures.retain(|fixture| fixture.build == "cgo");
    let fixture = fixtures.pop().expect("a build with C");
    let (said, report) = Report::of(&fixture, &["c"], &[]);
    let entry = &Entry::all(&said)[0];
    let mut lines = report.all("blocking");
    lines.retain(|line| line["syscall"] == "clock_nanosleep" && line["goid"] == entry.goid);
    assert!(Report::sum(&lines, "count") >= entry.count, "{lines:?} for {entry:?}");
    assert!(Report::sum(&lines, "total_ns").abs_diff(entry.total_ns) < entry.total_ns / 20, "{lines:?}");
}

/// The connections' goroutines wait for a request, which is what they are there for.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn connections_that_ask_nothing_are_idle() {
    for fixture in fixtures_of("blocked") {
        let (_, report) = Report::of(&fixture, &["idle", "2"], &[]);
        let serve = |line: &Value| frames(line).any(|frame| frame.starts_with("net/http.(*conn).serve "));
        let mut lines = report.all("blocking");
        lines.retain(|line| line["kind"] == "netpoll" && serve(line));
        assert!(Report::sum(&lines, "count") >= 200, "{}: {lines:?}", fixture.name);
        assert!(lines.iter().all(|line| line["class"] == "idle"), "{}: {lines:?}", fixture.name);
    }
}

/// Whoever asked has given up when the resolver's goroutine is still in its read.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_dead_name_server_is_dns() {
    for fixture in fixtures_of("blocked") {
        let (said, report) = Report::of(&fixture, &["dns"], &[]);
        let entry = &Entry::all(&said)[0];
        let mut lines = report.all("blocking");
        lines.retain(|line| line["cause"] == "dns");
        let object = |line: &&Value| line["object"].as_str().is_some_and(|name| name.contains(&entry.object));
        assert!(lines.iter().any(object), "{}: {lines:?} for {entry:?}", fixture.name);
        assert!(Report::sum(&lines, "total_ns") >= entry.total_ns * 9 / 10, "{}: {lines:?}", fixture.name);
    }
}
