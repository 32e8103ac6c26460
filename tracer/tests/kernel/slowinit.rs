//! Where the time of slow inits went, beside what the program itself says of it: `slowinit` takes its time for one
//! reason a run, and notes by its own clocks and the kernel's counters how much, where, and how much of it on a CPU.

mod account;
mod cases;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use self::account::{Entry, assert_adds_up, ends_with_place, part};
use self::cases::{CASES, Case, Run, nanos, near, runs};
use crate::number;
use crate::support::{Traced, fixture, gotrace, nethttp, parse, text, trace};

/// Complaints about all runs at once: what goes wrong in one case says something about the others.
fn for_each_run(check: impl Fn(&Case, &Run) -> Vec<String>) {
    let mut complaints = Vec::new();
    for run in runs() {
        let case = CASES.iter().find(|case| case.name == run.case).expect("a case");
        complaints
            .extend(check(case, run).into_iter().map(|said| format!("{} {}: {said}", run.fixture, run.case)));
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_parts_of_every_init_and_phase_add_up() {
    for run in runs() {
        run.traced.assert_complete(&run.fixture);
        for line in run.traced.lines.iter().filter(|line| line["type"] == "init" || line["type"] == "phase") {
            // What follows main.main is not split.
            if line["name"] != "main" {
                assert_adds_up(line, &format!("{} {}", run.fixture, run.case));
            }
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn time_is_where_the_program_itself_spent_it() {
    for_each_run(|case, run| {
        let Some(init) = run.init() else { return vec!["its init is not named".to_owned()] };
        let spent = |each: fn(&Entry) -> u64| run.entries.iter().map(each).sum::<u64>();
        let mut complaints = Vec::new();
        // The program measures a stretch of the init; what comes before and behind it may be of any kind.
        let beside = number(&init["wall_ns"]).saturating_sub(spent(|entry| entry.spent_ns));
        let mut expect = |what: &str, ours: u64, said: u64, least: f64| {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                clippy::cast_possible_truncation,
                reason = "nanoseconds"
            )]
            let at_least = (said as f64 * least) as u64;
            if !(near(ours, said) || (at_least..=said + beside + nanos(said)).contains(&ours)) {
                complaints
                    .push(format!("{what} is {ours}, the program says {said} (and {beside} beside it)"));
            }
        };
        expect("on_cpu_ns", number(&init["on_cpu_ns"]), spent(|entry| entry.on_cpu_ns), 0.95);
        let Some(blocked) = run.entries.iter().map(Entry::blocked_ns).sum::<Option<u64>>() else {
            return complaints;
        };
        expect(
            "runnable_ns",
            number(&init["runnable_ns"]),
            spent(|entry| entry.runnable_ns.unwrap_or(0)),
            0.95,
        );
        expect("blocked_ns", number(&init["blocked_ns"]), blocked, 0.95);
        if let Some(kind) = case.kind.filter(|_| run.is_cold()) {
            expect(&format!("{kind}_ns"), part(init, kind), blocked, case.share);
        }
        complaints
    });
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_long_wait_is_told_with_its_object_and_its_line() {
    for_each_run(|case, run| {
        let Some(kind) = case.kind.filter(|_| case.waits && run.is_cold()) else { return Vec::new() };
        let mut complaints = Vec::new();
        for entry in &run.entries {
            let waits: Vec<&Value> =
                run.traced.all("wait").into_iter().filter(|wait| wait["package"] == *entry.package).collect();
            let is_it = |wait: &&&Value| ends_with_place(wait, entry);
            let Some(wait) = waits.iter().filter(is_it).max_by_key(|wait| number(&wait["duration_ns"]))
            else {
                complaints.push(format!("no wait at {} line {} in {waits:?}", entry.function, entry.line));
                continue;
            };
            let mut expect = |is_right: bool, what: &str| {
                if !is_right {
                    complaints.push(format!("{what}: {wait}"));
                }
            };
            expect(wait["kind"] == kind, "another kind");
            let by = [&wait["syscall"], &wait["wait_reason"]];
            expect(by.iter().any(|by| case.by.iter().any(|name| **by == *name)), "another call or reason");
            let object = wait["object"].as_str().unwrap_or_default();
            expect(object.contains(case.object), "another object");
            let blocked = entry.blocked_ns().unwrap_or(entry.spent_ns);
            expect(case.share < 0.95 || near(number(&wait["duration_ns"]), blocked), "another duration");
        }
        complaints
    });
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_slow_init_gives_a_finding_and_no_other_does() {
    for_each_run(|_, run| {
        let findings = run.traced.all("finding");
        let (package, of_it): (&str, _) = (&run.entries[0].package, format!("{}.", run.entries[0].package));
        let mut complaints = Vec::new();
        let own = |finding: &&&Value| finding["package"] == package;
        if run.is_cold() && findings.iter().filter(own).count() == 0 {
            complaints.push(format!("no finding in {findings:?}"));
        }
        for finding in findings {
            let named = finding["function"].as_str().unwrap_or_default();
            if finding["package"] != package || !named.starts_with(&of_it) || number(&finding["line"]) == 0 {
                complaints.push(format!("a finding of something else: {finding}"));
            }
        }
        complaints
    });
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_healthy_program_gives_no_finding() {
    for fixture in [nethttp(), fixture("slowinit"), fixture("manypkgs")] {
        let traced = trace(&fixture, &[], &fixture.args);
        assert!(traced.all("finding").is_empty(), "{}: {:?}", fixture.name, traced.all("finding"));
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn goroutines_and_allocations_are_counted() {
    for_each_run(|case, run| {
        let Some(init) = run.init() else { return vec!["its init is not named".to_owned()] };
        let mut complaints = Vec::new();
        for (what, said) in case.counts {
            match init[*what].as_u64() {
                // The program's own notes add a few.
                Some(ours) if (*said..=said + said / 20 + 100).contains(&ours) => {}
                ours => complaints.push(format!("{what} is {ours:?}, and should be {said} or little more")),
            }
        }
        complaints
    });
}

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
        assert!(near(part(last, "sleep"), entries[0].spent_ns), "{last}");
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
    let lines = parse(&std::fs::read_to_string(Path::new(&report)).expect("a report"));
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
