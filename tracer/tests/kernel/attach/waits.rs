//! `--waits`, beside what a program says of its own goroutines: how often they were parked, for what, how long, and
//! what became of the program when they were parked too often.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::number;
use crate::support::{Fixture, fixtures_of, gotrace, is_emulated, parse};
use crate::trust::changed;

/// More than anything here costs.
pub(super) const NO_LIMIT: [&str; 2] = ["--max-overhead", "10000"];

/// The fixture, which does one step after the other.
pub(super) struct Program {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    pub(super) fn start(fixture: &Fixture) -> Self {
        let mut command = std::process::Command::new(&fixture.path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let (stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut program = Self { child, stdin, stdout: BufReader::new(stdout) };
        assert_eq!(program.line(), "ready");
        program
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.stdout.read_line(&mut line).expect("a line"), 0, "it ended");
        line.trim_end().to_owned()
    }

    /// Does a step, and gives its account.
    pub(super) fn step(&mut self, step: &str) -> Vec<Value> {
        writeln!(self.stdin, "{step}").expect("it listens");
        let mut said = String::new();
        loop {
            let line = self.line();
            if line == "done" {
                // The fixture's own lines, not gotrace's.
                let line = |line| serde_json::from_str(line).expect("a line of JSON");
                return said.lines().map(line).collect();
            }
            said.push_str(&line);
            said.push('\n');
        }
    }

    /// How many bytes of its code are not as in its file.
    fn changed(&self) -> usize {
        changed(self.child.id()).len()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

/// A gotrace that follows it.
pub(super) struct Follower {
    child: Child,
    folder: tempfile::TempDir,
}

impl Follower {
    pub(super) fn of(program: &Program, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| fs::File::create(folder.path().join(name)).expect("a file");
        let mut command = gotrace();
        command
            .args(["attach", "--waits", "--no-gc", "--json"])
            .args(options)
            .arg(program.child.id().to_string());
        let child = command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).spawn();
        let mut follower = Self { child: child.expect("gotrace runs"), folder };
        let begin = Instant::now();
        while !follower.said("stderr").contains("attached to") {
            let ended = follower.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "{ended:?}: {}", follower.said("stderr"));
            assert!(begin.elapsed() < Duration::from_secs(120), "{}", follower.said("stderr"));
            thread::sleep(Duration::from_millis(2));
        }
        follower
    }

    fn said(&self, stream: &str) -> String {
        fs::read_to_string(self.folder.path().join(stream)).expect("what it said")
    }

    /// Ctrl-C, and the report.
    pub(super) fn end(mut self) -> Report {
        // SAFETY: the child is ours and not waited for, so the number is still its.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGINT) }, 0);
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", self.said("stderr"));
        Report(parse(&self.said("stdout")))
    }
}

pub(super) struct Report(Vec<Value>);

impl Report {
    /// The sums for that reason whose line of code is in that function.
    fn at(&self, function: &str, reason: &str) -> Vec<&Value> {
        let is_it = |line: &&Value| {
            line["type"] == "blocking"
                && line["kind"] == "wait"
                && line["wait_reason"] == reason
                && line["site"]["function"] == function
        };
        self.0.iter().filter(is_it).collect()
    }

    fn overhead(&self) -> &Value {
        self.0.iter().find(|line| line["type"] == "overhead").expect("what it cost is always told")
    }
}

fn sum(lines: &[&Value], field: &str) -> u64 {
    lines.iter().map(|line| number(&line[field])).sum()
}

/// Every goroutine is parked at every gate, however often: no more and no less is counted.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_goroutine_that_is_parked_is_counted() {
    for fixture in fixtures_of("waits") {
        let gates = if fixture.name.ends_with("1.26.6") && !is_emulated() { 10_000 } else { 500 };
        let mut program = Program::start(&fixture);
        let follower = Follower::of(&program, &NO_LIMIT);
        assert_eq!(program.changed(), 3, "{}: three sites, one byte each", fixture.name);
        let said = program.step(&format!("gates {gates}"));
        let report = follower.end();
        let lines = report.at("main.throughGates", "chan receive");
        assert_eq!(sum(&lines, "count"), number(&said[0]["count"]), "{}: {lines:?}", fixture.name);
        assert_eq!(sum(&lines, "joined"), 0, "{}", fixture.name);
        for line in &lines {
            assert_eq!(line["waker"], "main", "{}: {line}", fixture.name);
            assert_eq!(line["origin"]["function"], "main.gates", "{}: {line}", fixture.name);
            let (total, runnable) = (number(&line["total_ns"]), number(&line["runnable_ns"]));
            assert!(0 < runnable && runnable < total, "{}: {line}", fixture.name);
        }
        let overhead = report.overhead();
        assert_eq!((number(&overhead["dropped"]), number(&overhead["undecodable"])), (0, 0), "{overhead}");
        // Parked, made ready, run: and each goroutine runs once more, when it is new.
        let hits = number(&overhead["hits"]);
        let parks = number(&said[0]["count"]);
        assert!((3 * parks..3 * parks + parks).contains(&hits), "{}: {overhead}", fixture.name);
        assert_eq!(program.changed(), 0, "{}: something was left behind", fixture.name);
        eprintln!("{}: {parks} parks, {} ns a hit", fixture.name, overhead["cost_ns_per_hit"]);
    }
}

/// What the fixture does, in which function, and what the runtime calls it; another word in older versions.
pub(super) const KINDS: [(&str, &str, Option<&str>); 8] = [
    ("chan receive", "main.receives", None),
    ("chan send", "main.sends", None),
    ("select", "main.selects", None),
    ("sync.Mutex.Lock", "main.locks", None),
    ("sync.RWMutex.RLock", "main.readLocks", None),
    ("sync.WaitGroup.Wait", "main.waitsForGroup", Some("semacquire")),
    ("sync.Cond.Wait", "main.waitsForCond", None),
    ("sleep", "main.sleeps", None),
];

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn each_wait_is_told_with_its_reason_its_time_and_its_waker() {
    for fixture in fixtures_of("waits") {
        let mut program = Program::start(&fixture);
        let follower = Follower::of(&program, &NO_LIMIT);
        let said = program.step("kinds 10");
        let report = follower.end();
        for (kind, function, older) in KINDS {
            let account = said.iter().find(|account| account["kind"] == kind).expect("it says so");
            let mut lines = report.at(function, kind);
            if lines.is_empty() {
                lines = older.map(|reason| report.at(function, reason)).unwrap_or_default();
            }
            let name = &fixture.name;
            assert_eq!(sum(&lines, "count"), number(&account["count"]), "{name} {kind}: {:?}", report.0);
            let (told, own) = (sum(&lines, "total_ns"), number(&account["total_ns"]));
            let room = if is_emulated() { own / 2 } else { own / 20 };
            assert!(told.abs_diff(own) <= room, "{name} {kind}: {told} ns, and it says {own}");
            for line in &lines {
                if kind == "sleep" {
                    assert_eq!(line["waker"], "timer", "{name}: {line}");
                } else {
                    // Who ends the wait was made by the function that waits.
                    assert_eq!(line["waker"], "goroutine", "{name}: {line}");
                    assert_eq!(line["waker_origin"]["function"], function, "{name}: {line}");
                }
                assert!(number(&line["max_ns"]) >= number(&line["p50_ns"]), "{name}: {line}");
            }
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn those_that_are_parked_still_are_told_and_those_from_before_counted() {
    let fixture = fixtures_of("waits").pop().unwrap();
    let mut program = Program::start(&fixture);
    let follower = Follower::of(&program, &NO_LIMIT);
    writeln!(program.stdin, "kinds 100").unwrap();
    thread::sleep(Duration::from_millis(500));
    let report = follower.end();
    let parked = |function: &str| {
        let is_it = |line: &&Value| {
            let frames = line["stack"].as_array().into_iter().flatten();
            line["type"] == "blocked_now"
                && frames.filter_map(Value::as_str).any(|frame| frame.split(' ').next() == Some(function))
        };
        report.0.iter().find(is_it).unwrap_or_else(|| panic!("nobody is in {function}: {:?}", report.0))
    };
    // Main waits for the first kind to be done a hundred times.
    let main = parked("main.measured");
    assert_eq!((&main["goid"], &main["wait_reason"]), (&1.into(), &"chan receive".into()));
    assert_eq!(main["since_is_exact"], true, "{main}");
    assert!((400_000_000..2_000_000_000).contains(&number(&main["for_ns"])), "{main}");
    let asleep = parked("main.wakeReceiver");
    assert_eq!(asleep["wait_reason"], "sleep");
    assert!(number(&asleep["for_ns"]) < 100_000_000, "{asleep}");

    let follower = Follower::of(&program, &NO_LIMIT);
    while program.line() != "done" {}
    let report = follower.end();
    let from_before = |line: &&Value| line["kind"] == "wait" && line["joined"].as_u64() > Some(0);
    let joined: Vec<&Value> = report.0.iter().filter(from_before).collect();
    // Main, and one that waits and one that sleeps unless they were just awake; of main's next waits the beginning is seen.
    let of_main: Vec<&&Value> =
        joined.iter().filter(|line| line["origin"]["function"] == "runtime.newproc").collect();
    assert_eq!(of_main.iter().map(|line| number(&line["joined"])).sum::<u64>(), 1, "{joined:?}");
    let all = joined.iter().map(|line| number(&line["joined"])).sum::<u64>();
    assert!((1..=3).contains(&all), "{joined:?}");
}

fn boot_clock() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) }, 0);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_storm_is_left_alone_within_a_second() {
    let fixture = fixtures_of("waits").pop().unwrap();
    let mut program = Program::start(&fixture);
    let follower = Follower::of(&program, &[]);
    let began = boot_clock();
    program.step("storm");
    let patience = Instant::now() + Duration::from_secs(10);
    while !follower.said("stderr").contains("over the budget") && Instant::now() < patience {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(program.changed(), 0, "the probes are there still: {}", follower.said("stderr"));
    let report = follower.end();
    let overhead = report.overhead();
    let took = number(&overhead["detached_ns"]).saturating_sub(began);
    assert!(took < 1_000_000_000, "{took} ns: {overhead}");
    assert!(overhead["detached_because"].as_str().unwrap().contains("traps alone"), "{overhead}");
    let exact = |line: &Value| {
        line["type"] == "blocked_now"
            && line["wait_reason"] == "chan receive"
            && line["since_is_exact"] == true
    };
    assert!(!report.0.iter().any(exact), "nobody is seen to run any more");
    assert!(!report.at("main.echo", "chan receive").is_empty(), "what was seen is told");
    eprintln!("{} hits, gone after {} ms", overhead["hits"], took / 1_000_000);
}

/// The budget is set where the traps fit into it and the handlers do not, by what a first look says they cost.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn fewer_goroutines_are_followed_when_that_is_enough() {
    let fixture = fixtures_of("waits").pop().unwrap();
    let mut program = Program::start(&fixture);
    let follower = Follower::of(&program, &NO_LIMIT);
    program.step("steady 100");
    let first = follower.end();
    let all = sum(&first.at("main.beat", "sleep"), "count");
    // Who comes late does not sleep.
    assert!((200 * 90..=200 * 100).contains(&all), "{all}");
    let overhead = first.overhead();
    let traps = number(&overhead["hits"]) * number(&overhead["trap_ns_per_hit"]);
    let handlers = number(&overhead["handlers_ns"]);
    // The steps take a second. Both figures are measured anew in the next run, so there is room on either side.
    let budget = Duration::from_nanos(traps + handlers * 2 / 5).as_secs_f64() * 100.0;

    let follower = Follower::of(&program, &["--max-overhead", &format!("{budget:.3}")]);
    program.step("steady 600");
    let report = follower.end();
    let overhead = report.overhead();
    let sampled = overhead["sampled"].as_u64().unwrap_or_else(|| panic!("{overhead}"));
    assert!(sampled.is_power_of_two() && sampled >= 2, "{overhead}");
    assert!(overhead["detached_ns"].is_null(), "{overhead}");
    let counted = sum(&report.at("main.beat", "sleep"), "count");
    // Never scaled up to what they would be.
    assert!(counted < 200 * 600 * 9 / 10, "{counted}: {overhead}");
    assert!(counted > 200 * 600 / 32, "{counted}: {overhead}");
    eprintln!("{budget:.2} % allowed: 1 in {sampled}, {counted} of {} counted, {overhead}", 200 * 600);
}
