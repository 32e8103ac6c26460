//! What keeps the world from stopping, and what only happens at the same time: each is told apart.

use std::fs;

use serde_json::Value;

use super::account::Account;
use super::{Program, is_below, is_gc, one_build, those};
use crate::blocking::Report;
use crate::number;
use crate::support::{is_emulated, trace_event};

/// A step's goroutine.
fn goid(account: &Account) -> u64 {
    number(&account.details["goid"])
}

/// The stops that took a while and that a goroutine was seen to hold up.
fn held_up(report: &Report, goid: u64) -> Vec<&Value> {
    let long = those(report, "stw", |stop| is_gc(stop) && number(&stop["stopping_ns"]) > 2_000_000);
    let held: Vec<&Value> =
        long.iter().copied().filter(|stop| number_or_0(&stop["held_up_by"]["goid"]) == goid).collect();
    assert!(held.len() >= 5, "{long:?}");
    // Where the processor is somebody else's, that is what is told of some.
    assert!(is_emulated() || held.len() * 2 > long.len(), "{long:?}");
    held
}

fn number_or_0(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// The incidents with a verdict.
fn judged<'a>(report: &'a Report, verdict: &str) -> Vec<&'a Value> {
    those(report, "gc_incident", |incident| incident["verdict"] == verdict)
}

/// A finding's text with what is told beside it.
fn findings(report: &Report) -> Vec<String> {
    report.all("finding").into_iter().map(Value::to_string).collect()
}

fn assert_found(report: &Report, parts: &[&str]) {
    let findings = findings(report);
    let is_it = |finding: &String| parts.iter().all(|part| finding.contains(part));
    assert!(findings.iter().any(is_it), "{parts:?} is in none of {findings:?}");
}

/// Every cycle and stop is on its track, and an arrow goes from who held the world up to where it stood still.
fn assert_shown(report: &Report, trace: &str) {
    let trace = trace_event::read(trace);
    let outermost = |category| trace.of(category).filter(|slice| slice.within.is_empty());
    assert_eq!(outermost("gc").count(), report.all("gc").len());
    let stops = those(report, "stw", |stop| stop["start_ns"].is_u64());
    assert_eq!(outermost("stw").filter(|slice| slice.track == "stop the world").count(), stops.len());
    let held = stops.iter().filter(|stop| stop["held_up_by"].is_object()).count();
    assert_eq!(trace.flows.len(), held);
    assert!(
        held > 0 && trace.flows.iter().all(|(from, _)| from.starts_with("goroutine ")),
        "{:?}",
        trace.flows
    );
    assert_eq!(trace.counters["heap"].len(), 2 * report.all("gc").len());
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_loop_that_cannot_be_interrupted_is_named() {
    let mut program = Program::start(&one_build(), "asyncpreemptoff=1");
    let trace = program.file("tight.trace.json");
    let (account, report) = program.under_gotrace("tight 20", &["-o", &trace, "-o", "-"]);
    assert_shown(&report, &fs::read_to_string(&trace).expect("a trace"));
    let holds = held_up(&report, goid(&account));
    for stop in &holds {
        let holder = &stop["held_up_by"];
        assert!(is_below(holder, "main.tight"), "{stop}");
        let of = |field: &str| number(&holder[field]);
        assert!(of("looks") > 0 && of("looks") <= number(&stop["looks"]), "{stop}");
        assert!(of("on_cpu") + of("runnable") >= of("looks") / 2, "{stop}");
    }
    // Where others take its CPU, that is what is told of some.
    let incidents = those(&report, "gc_incident", |incident| incident["kind"] == "stop");
    let named =
        |incident: &&&Value| incident["text"].as_str().is_some_and(|text| text.contains("main.tight"));
    let of_verdict = |verdict: &str| {
        incidents.iter().filter(named).filter(|incident| incident["verdict"] == verdict).count()
    };
    let (holder, starvation) = (of_verdict("holder"), of_verdict("starvation"));
    assert!(holder >= 3 && holder + starvation >= holds.len(), "{holder} {starvation}: {incidents:?}");
    assert_found(&report, &["main.tight"]);
    // Who stops the world waits for those who run, not for a lock.
    let waits = those(&report, "blocking", |entry| is_below(entry, "runtime.stopTheWorldWithSema"));
    assert!(!waits.is_empty() && waits.iter().all(|entry| entry["cause"] == "other"), "{waits:?}");
    // Who became ready meanwhile is only known from the scheduler.
    assert!(incidents.iter().all(|incident| incident["ready"].is_null()), "{incidents:?}");
    let (_, probed) = program.under_gotrace("tight 3", &["--waits"]);
    let incidents = probed.all("gc_incident");
    assert!(!incidents.is_empty());
    for incident in incidents {
        let of = |field: &str| number(&incident["ready"][field]);
        assert!(
            of("longest_ns") <= of("total_ns") && of("total_ns") <= of("count") * of("longest_ns"),
            "{incident}"
        );
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn who_sleeps_behind_the_schedulers_back_is_named() {
    let mut program = Program::start(&one_build(), "");
    let (account, report) = program.under_gotrace("raw 20", &[]);
    let holds = held_up(&report, goid(&account));
    for stop in &holds {
        let holder = &stop["held_up_by"];
        assert!(is_below(holder, "main.asleep"), "{stop}");
        assert!(number(&holder["sleeping"]) * 2 > number(&holder["looks"]), "{stop}");
    }
    assert!(judged(&report, "blocking").len() >= 5, "{:?}", report.all("gc_incident"));
    assert_found(&report, &["main.asleep"]);
}

/// It is in a system call, whose P anyone may take: it has nothing to do with the cycles, nor they with it.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_long_read_beside_the_collector_is_not_blamed() {
    let mut program = Program::start(&one_build(), "");
    let path = program.folder.path().join("fifo").to_str().expect("UTF-8").to_owned();
    // Every cycle here is an incident: they take longer than this.
    let (account, report) = program.under_gotrace(&format!("fifo 20 {path}"), &["--stw-slow", "100us"]);
    let incidents = report.all("gc_incident");
    let mut told = 0;
    for incident in &incidents {
        let blocked = incident["blocked"].as_array().expect("a list");
        let Some(read) = blocked.iter().find(|one| number_or_0(&one["goid"]) == goid(&account)) else {
            continue;
        };
        assert_eq!(read["syscall"], "read", "{incident}");
        assert!(read["object"].as_str().is_some_and(|object| object.contains("fifo")), "{incident}");
        assert_ne!(incident["verdict"], "blocking", "{incident}");
        told += 1;
    }
    assert!(told >= 10, "{told}: {incidents:?}");
    // But for those in which who allocates had to help.
    assert!(judged(&report, "unrelated").len() >= 5, "{incidents:?}");
    let culprit = |stop: &&Value| number_or_0(&stop["held_up_by"]["goid"]) == goid(&account);
    assert!(!report.all("stw").iter().any(culprit), "{:?}", report.all("stw"));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn forced_cycles_have_somebody_who_forces_them() {
    let mut program = Program::start(&one_build(), "");
    let (account, report) = program.under_gotrace("forced 300", &[]);
    let cycles = report.all("gc");
    assert_eq!(cycles.len(), 300);
    assert!(cycles.iter().all(|cycle| cycle["forced"] == true && cycle["trigger"] == "manual"), "{cycles:?}");
    let asked = those(&report, "stw", |stop| stop["reason"] == "GC sweep termination");
    for stop in &asked {
        assert!(is_below(stop, "main.force") && number(&stop["goid"]) == goid(&account), "{stop}");
        assert!(stop["created_by"].as_str().is_some_and(|line| line.contains("main.forced")), "{stop}");
    }
    assert_found(&report, &["main.force", "runtime.GC"]);
    let summary = report.all("gc_summary");
    assert_eq!((number(&summary[0]["cycles"]), number(&summary[0]["forced"])), (300, 300));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn statistics_that_stop_the_world_are_found() {
    let mut program = Program::start(&one_build(), "");
    let (account, report) = program.under_gotrace("stats 200", &[]);
    let asked = those(&report, "stw", |stop| number_or_0(&stop["goid"]) == goid(&account));
    assert_eq!(asked.len(), 200);
    for stop in asked {
        assert!(stop["reason"] == "read mem stats" && is_below(stop, "main.ask"), "{stop}");
        assert!(stop["cycle"].is_null(), "{stop}");
    }
    assert!(report.all("gc").is_empty(), "{:?}", report.all("gc"));
    assert_found(&report, &["main.ask"]);
    let stops = &report.all("gc_summary")[0]["stops"]["read mem stats"];
    assert_eq!(number(&stops["count"]), 201, "with the account's own");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_memory_limit_that_is_too_near_is_found() {
    let mut program = Program::start(&one_build(), "");
    let (account, report) = program.under_gotrace("limit 30", &[]);
    let limit = number(&account.details["limit_bytes"]);
    let near = those(&report, "gc", |cycle| cycle["memory_limit_bytes"] == limit);
    assert!(near.len() >= 30, "{} of {}", near.len(), report.all("gc").len());
    assert_found(&report, &["GOMEMLIMIT"]);
}
