//! Inits that main does not follow: they end the program, or do not end.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::account::{self, Entry, assert_adds_up, ends_with_place, part};
use super::cases::near;
use crate::number;
use crate::support::{Traced, fixture, gotrace, parse, text, trace};

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
        assert_adds_up(last, case);
        // The runtime's own way out may sleep some more, and elsewhere.
        let waits = traced.all("wait");
        let wait = waits.iter().find(|wait| ends_with_place(wait, &entries[0])).expect("its wait");
        assert!(near(number(&wait["duration_ns"]), entries[0].spent_ns), "{wait} {entries:?}");
        assert!(part(last, "sleep") >= number(&wait["duration_ns"]), "{last}");
        assert_eq!(traced.summary()["to_main_ns"], Value::Null);
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_start_that_hangs_says_on_what_when_it_is_interrupted() {
    let fixture = fixture("slowinit");
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.ndjson");
    let mut command = gotrace();
    command.args(["run", "-q", "-o"]).arg(&report).arg("--").arg(&fixture.path).env("SLOWINIT", "neverends");
    let mut child = command.stdout(Stdio::piped()).spawn().expect("gotrace runs");
    // It prints its note when it is about to wait.
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
    let entry = &account::read(line.as_bytes())[0];
    std::thread::sleep(Duration::from_millis(300));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let lines = parse(&std::fs::read_to_string(&report).expect("a report"));
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    let inits = of("init");
    let last = inits.last().expect("an init");
    assert_eq!((&text(&last["package"]), &last["done"]), (&entry.package, &Value::from(false)), "{last}");
    assert_adds_up(last, "neverends");
    assert!(part(last, "goroutine") >= 300_000_000, "{last}");
    let waits = of("wait");
    let wait = waits.iter().find(|wait| ends_with_place(wait, entry));
    let wait = wait.unwrap_or_else(|| panic!("no wait at {} line {}: {waits:?}", entry.function, entry.line));
    assert_eq!(
        (&wait["kind"], &wait["wait_reason"]),
        (&"goroutine".into(), &"chan receive".into()),
        "{wait}"
    );
    assert!(number(&wait["duration_ns"]) >= 300_000_000, "{wait}");
}
