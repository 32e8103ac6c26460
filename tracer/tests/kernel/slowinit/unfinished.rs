//! Inits that main does not follow: they end the program, or do not end.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::account::{self, Entry, assert_adds_up, ends_with_place, part};
use super::cases::near;
use crate::number;
use crate::support::{Traced, children, fixture, gotrace, is_emulated, parse, text, trace};

/// A run of a case that main does not follow.
fn unfinished(case: &str) -> (Vec<Entry>, Traced) {
    let mut fixture = fixture("slowinit");
    fixture.env.insert("SLOWINIT".to_owned(), case.to_owned());
    let traced = trace::<&str>(&fixture, &[], &[]);
    (account::read(&traced.output.stdout), traced)
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn an_init_that_ends_the_program_is_named_with_its_time() {
    for (case, code) in [("panic", 2), ("exit", 3)] {
        let (entries, traced) = unfinished(case);
        assert_eq!(traced.output.status.code(), Some(code), "{case}");
        let inits = traced.all("init");
        let last = inits.last().expect("an init");
        assert_eq!(
            (&text(&last["package"]), &last["done"]),
            (&entries[0].package, &Value::from(false)),
            "{last}"
        );
        assert_adds_up(last);
        // The runtime's own way out may sleep some more, and elsewhere.
        let waits = traced.all("wait");
        let wait = waits.iter().find(|wait| ends_with_place(wait, &entries[0])).expect("its wait");
        assert!(near(number(&wait["duration_ns"]), entries[0].spent_ns), "{wait} {entries:?}");
        assert!(part(last, "sleep") >= number(&wait["duration_ns"]), "{last}");
        assert_eq!(traced.summary()["to_main_ns"], Value::Null);
    }
}

/// A program that hangs in an init, under gotrace.
struct Hanging {
    gotrace: Child,
    /// Where it hangs, by its own word.
    entry: Entry,
    folder: TempDir,
}

impl Hanging {
    /// Returns when it is about to hang.
    fn start(options: &[&str]) -> Self {
        let fixture = fixture("slowinit");
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = gotrace();
        command.args(["run", "-q", "-o"]).arg(folder.path().join("report.ndjson")).args(options);
        command.arg("--").arg(&fixture.path).env("SLOWINIT", "neverends");
        let mut gotrace = command.stdout(Stdio::piped()).spawn().expect("gotrace runs");
        let mut line = String::new();
        BufReader::new(gotrace.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
        Self { gotrace, entry: account::read(line.as_bytes()).remove(0), folder }
    }

    /// The report, once it is there.
    fn report(&self) -> Vec<Value> {
        let path = self.folder.path().join("report.ndjson");
        let patience = Instant::now() + Duration::from_secs(60);
        while !path.exists() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(20));
        }
        parse(&std::fs::read_to_string(&path).expect("a report"))
    }

    /// The init, its time so far and what it waits for are what the program said.
    fn check(&self, lines: &[Value]) {
        let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
        let inits = of("init");
        let last = inits.last().expect("an init");
        assert_eq!(
            (&text(&last["package"]), &last["done"]),
            (&self.entry.package, &Value::from(false)),
            "{last}"
        );
        assert!(part(last, "goroutine") >= 300_000_000, "{last}");
        assert_adds_up(last);
        let waits = of("wait");
        // Its thread may have slept there first, for the runtime's own sake.
        let there = waits.iter().filter(|wait| ends_with_place(wait, &self.entry));
        let wait = there.max_by_key(|wait| number(&wait["duration_ns"]));
        let wait = wait.unwrap_or_else(|| panic!("no wait of {:?} in {waits:?}", self.entry));
        assert_eq!(
            (&wait["kind"], &wait["wait_reason"]),
            (&"goroutine".into(), &"chan receive".into()),
            "{wait}"
        );
        assert!(number(&wait["duration_ns"]) >= 300_000_000, "{wait}");
        let findings = of("finding");
        let is_it = |finding: &&&Value| {
            finding["function"] == *self.entry.function && finding["line"] == self.entry.line
        };
        assert_eq!(findings.iter().filter(is_it).count(), 1, "{findings:?}");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_start_that_hangs_says_on_what_when_it_is_ended() {
    for (signal, to_program) in [("-INT", false), ("-KILL", true)] {
        let mut hanging = Hanging::start(&[]);
        std::thread::sleep(if is_emulated() { Duration::from_secs(2) } else { Duration::from_millis(350) });
        let gotrace = hanging.gotrace.id();
        let pid = if to_program { child_of(gotrace) } else { gotrace };
        assert!(Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill runs").success());
        let code = hanging.gotrace.wait().expect("it ends").code();
        assert_eq!(code, Some(if to_program { 128 + 9 } else { 128 + 2 }));
        hanging.check(&hanging.report());
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_start_that_hangs_says_on_what_while_it_does() {
    let mut hanging = Hanging::start(&["--until", if is_emulated() { "4s" } else { "500ms" }]);
    let lines = hanging.report();
    let pid = number(&lines[0]["pid"]).to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().expect("kill runs").success(), "it hangs on");
    hanging.gotrace.wait().expect("it ends");
    assert_eq!(lines.last().expect("a summary")["ended"], "running");
    hanging.check(&lines);
}

/// The one child of a process.
fn child_of(pid: u32) -> u32 {
    let [child] = children(pid)[..] else { panic!("one child: {:?}", children(pid)) };
    child
}
