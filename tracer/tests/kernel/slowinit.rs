//! Where the time of slow inits went, beside what the program itself says of it: `slowinit` takes its time for one
//! reason a run, and notes by its own clocks and the kernel's counters how much, where, and how much of it on a CPU.

mod account;
mod cases;
mod unfinished;

use std::ops::RangeInclusive;
use std::process::Command;

use serde_json::Value;

use self::account::{Entry, assert_adds_up, ends_with_place, part};
use self::cases::{Case, Run, nanos, runs};
use crate::number;
use crate::support::{fixture, gotrace, inittrace, nethttp, parse, trace};

/// Complaints about all runs at once: what goes wrong in one case says something about the others. What takes a
/// processor away between two of the program's readings does not do that three times in the same place, so a case may
/// try again.
fn for_each_run(check: impl Fn(&Case, &Run) -> Vec<String>) {
    let of = |run: &Run| {
        let mut complaints = check(run.case, run);
        for _ in 0..2 {
            if complaints.is_empty() {
                break;
            }
            eprintln!("{}, tried again: {}", run.name, complaints.join("; "));
            complaints = check(run.case, &run.build.run(run.case));
        }
        complaints.into_iter().map(|said| format!("{}: {said}", run.name)).collect::<Vec<_>>()
    };
    let complaints: Vec<String> = runs().iter().flat_map(of).collect();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_parts_of_every_init_and_phase_add_up() {
    for_each_run(|_, run| {
        run.traced.assert_complete(&run.name);
        let is_split = |line: &&Value| line["type"] == "init" || line["type"] == "phase";
        // What follows main.main is not split.
        let is_before_main = |line: &&Value| line["name"] != "main" && line["name"] != "ready";
        let lines = run.traced.lines.iter().filter(is_split).filter(is_before_main);
        lines.filter_map(account::not_adding_up).collect()
    });
}

/// More inits than the largest programs have, all within a few milliseconds.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn ten_thousand_inits_are_all_seen() {
    let fixture = fixture("manypkgs");
    let traced = trace(&fixture, &[], &fixture.args);
    traced.assert_complete(&fixture.name);
    let own = traced.packages().iter().filter(|package| package.starts_with("example.com/manypkgs/")).count();
    assert_eq!(own, 10_000);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn time_is_where_the_program_itself_spent_it() {
    for_each_run(|case, run| {
        let Some(init) = run.init() else { return vec!["its init is not named".to_owned()] };
        let said = |each: fn(&Entry) -> u64| run.entries.iter().map(each).sum::<u64>();
        let (spent, uncertain) = (said(|entry| entry.spent_ns), said(|entry| entry.uncertain_ns));
        // The program measures a stretch of the init; what comes before and behind it may be of any kind.
        let beside = number(&init["wall_ns"]).saturating_sub(spent);
        let mut complaints = Vec::new();
        let mut expect = |what: &str, ours: u64, least: u64, most: u64| {
            let least = least.saturating_sub(nanos(least) + uncertain);
            let most = most + nanos(most) + uncertain + beside;
            if !(least..=most).contains(&ours) {
                complaints.push(format!("{what} is {ours}, and should be from {least} to {most}"));
            }
        };
        let of = |field: &str| number(&init[field]);
        let on_cpu = said(|entry| entry.on_cpu_ns);
        let Some(blocked) = run.entries.iter().map(Entry::blocked_ns).collect::<Option<Vec<_>>>() else {
            expect("on_cpu_ns", of("on_cpu_ns"), on_cpu, spent);
            return complaints;
        };
        let least: u64 = blocked.iter().map(RangeInclusive::start).sum();
        let most: u64 = blocked.iter().map(RangeInclusive::end).sum();
        expect("on_cpu_ns", of("on_cpu_ns"), on_cpu, spent - least);
        let not_blocked = of("on_cpu_ns") + of("runnable_ns");
        expect("on_cpu_ns + runnable_ns", not_blocked, spent - most, spent - least);
        expect("blocked_ns", of("blocked_ns"), least, most);
        if let Some(kind) = case.kind.filter(|_| run.is_cold()) {
            expect(&format!("{kind}_ns"), part(init, kind), least / 100 * case.percent, most);
        }
        complaints
    });
}

/// On one processor with another process that never rests.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn time_without_a_processor_is_not_time_on_it() {
    let mut fixture = fixture("slowinit");
    fixture.env.insert("SLOWINIT".to_owned(), "spin".to_owned());
    let mut rival = Command::new("taskset")
        .args(["-c", "0", "sh", "-c", "while :; do :; done"])
        .spawn()
        .expect("taskset");
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.ndjson");
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(gotrace().get_program()).args(["run", "-q", "-o"]).arg(&report);
    let output = command.arg("--").arg(&fixture.path).envs(&fixture.env).output();
    rival.kill().expect("it can be killed");
    rival.wait().expect("it ends");
    let entry = &account::read(&output.expect("gotrace runs").stdout)[0];
    let lines = parse(&std::fs::read_to_string(&report).expect("a report"));
    let init = lines.iter().find(|line| line["package"] == *entry.package).expect("its init");
    assert_adds_up(init);
    // Half each, where the scheduler is fair.
    let (wall, runnable) = (number(&init["wall_ns"]), number(&init["runnable_ns"]));
    assert!((wall / 5..wall / 5 * 4).contains(&runnable), "{init} {entry:?}");
}

/// gotrace's child waits to be let go before it becomes the program.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_was_waited_for_before_the_execve_is_not_the_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.ndjson");
    let mut command = gotrace();
    command.args(["run", "-q", "--slow", "1us", "-o"]).arg(&report).arg("--").arg(fixture("slowinit").path);
    let output = command.env("SLOWINIT", "http").output().expect("gotrace runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = parse(&std::fs::read_to_string(&report).expect("a report"));
    let begins: Vec<u64> =
        lines.iter().filter(|line| line["type"] == "wait").map(|wait| number(&wait["start_ns"])).collect();
    let start = number(&lines[0]["start_ns"]);
    assert!(!begins.is_empty() && begins.iter().all(|begin| *begin >= start), "{start}: {begins:?}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_long_wait_is_told_with_its_object_and_its_line() {
    for_each_run(|case, run| {
        let Some(kind) = case.kind.filter(|_| !case.by.is_empty() && run.is_cold()) else {
            return Vec::new();
        };
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
            let blocked = entry.blocked_ns().unwrap_or(entry.spent_ns..=entry.spent_ns);
            let off = nanos(*blocked.end()) + entry.uncertain_ns;
            let is_near = (blocked.start().saturating_sub(off)..=blocked.end() + off)
                .contains(&number(&wait["duration_ns"]));
            expect(case.percent < 95 || is_near, &format!("another duration than of {entry:?}"));
        }
        complaints
    });
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_slow_init_gives_its_finding_and_no_other_init_does() {
    for_each_run(|case, run| {
        let findings = run.traced.all("finding");
        let mut complaints = Vec::new();
        if run.is_cold() && !findings.iter().any(|finding| is_of(finding, case, run)) {
            complaints.push(format!("no {} with its place in {findings:?}", case.finding));
        }
        let package = Value::from(&*run.entries[0].package);
        for finding in findings {
            // Pages and processors are the concern of the start as a whole, as is the collector of one that allocates.
            let of_all = ["cold_start", "cpu_starved"].iter().any(|id| finding["id"] == **id)
                || (case.name == "alloc" && finding["id"] == "gc_busy");
            // So are collections that are asked for, where they take long enough to be told: by the init itself.
            let by_it = finding["id"] == "gc_forced"
                && finding["function"].as_str().is_some_and(|by| by.starts_with(&run.entries[0].package));
            let of_all = (of_all || by_it) && finding["package"].is_null();
            if finding["package"] != package && !of_all {
                complaints.push(format!("a finding of something else: {finding}"));
            }
        }
        complaints
    });
}

/// Whether it is the case's finding: where the init waited, with the very place.
fn is_of(finding: &Value, case: &Case, run: &Run) -> bool {
    if finding["id"] != case.finding {
        return false;
    }
    let place = |entry: &Entry| {
        finding["function"] == *entry.function
            && finding["file"] == *entry.file
            && finding["line"] == entry.line
            && number(&finding["duration_ns"]) <= number(&run.traced.summary()["to_main_ns"])
    };
    case.by.is_empty() || run.entries.iter().any(place)
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
fn the_init_function_that_took_the_time_is_named() {
    for_each_run(|_, run| {
        let Some(init) = run.init() else { return vec!["its init is not named".to_owned()] };
        let of = |entry: &Entry| entry.spent_ns;
        let (spent, function) = (run.entries.iter().map(of).sum::<u64>(), &run.entries[0].init);
        let lines = run.traced.all("init_function");
        let mut own = lines.iter().filter(|line| line["function"] == **function);
        let (Some(line), None) = (own.next(), own.next()) else {
            return vec![format!("{function} is not named once in {lines:?}")];
        };
        let end = |line: &Value| Some(line["start_ns"].as_u64()? + line["wall_ns"].as_u64()?);
        let is_inside = line["start_ns"].as_u64() >= init["start_ns"].as_u64() && end(line) <= end(init);
        if is_inside && line["package"] == init["package"] && line["wall_ns"].as_u64() >= Some(spent) {
            return Vec::new();
        }
        vec![format!("{line} is not {spent} ns of {init}")]
    });
}

/// What is wrong with the counts of a run that `is_meant` chooses.
fn miscounted(run: &Run, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let Some(init) = run.init() else { return vec!["its init is not named".to_owned()] };
    let mut complaints = Vec::new();
    for (what, said) in run.case.counts.iter().filter(|(what, _)| is_meant(what)) {
        match init[*what].as_u64() {
            // The program's own notes add a few.
            Some(ours) if (*said..=said + said / 20 + 100).contains(&ours) => {}
            ours => complaints.push(format!("{what} is {ours:?}, and should be {said} or little more")),
        }
    }
    complaints
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn goroutines_are_counted() {
    for_each_run(|_, run| miscounted(run, |what| what.starts_with("goroutines_")));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn allocations_are_counted() {
    let allocates = |run: &&Run| run.case.counts.iter().any(|(what, _)| *what == "allocs");
    for run in runs().iter().filter(allocates) {
        let counted = run.build.run_with(run.case, &["--heap"]);
        let complaints = miscounted(&counted, |what| what == "allocs" || what == "bytes");
        assert!(complaints.is_empty(), "{}: {complaints:?}", run.name);
        let findings = counted.traced.all("finding");
        let package = Value::from(&*counted.entries[0].package);
        let is_it =
            |id: &str| findings.iter().any(|finding| finding["id"] == id && finding["package"] == package);
        assert!(is_it("allocates_in_init"), "{}: {findings:?}", run.name);
    }
}

/// The collector empties the caches that are added up, several times in this init.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn allocations_are_counted_across_collections() {
    for run in runs().iter().filter(|run| run.case.name == "forcedgc") {
        let mut build = run.build.of_case(run.case.name);
        build.env.insert("GODEBUG".to_owned(), "inittrace=1".to_owned());
        let traced = trace::<&str>(&build, &["--heap"], &[]);
        let package = &run.entries[0].package;
        let init =
            traced.all("init").into_iter().find(|init| init["package"] == **package).expect("its init");
        let oracle = inittrace(&traced.output.stderr);
        let oracle = oracle.iter().find(|init| init.package == *package).expect("Go's word of it");
        let (allocs, bytes) = (number(&init["allocs"]), number(&init["bytes"]));
        // The collector's own goroutines need a little.
        let is_near = |ours: u64, go: u64, most: u64| (go..=go + most).contains(&ours);
        assert!(is_near(allocs, oracle.allocs, 100), "{}: {init} {oracle:?}", run.name);
        assert!(is_near(bytes, oracle.bytes, 64 << 10), "{}: {init} {oracle:?}", run.name);
    }
}
