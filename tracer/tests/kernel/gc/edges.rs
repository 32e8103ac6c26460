//! Cycles that are not seen from their beginning, or not to their end; none at all; and what gotrace does not know.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Program, gctrace, is_gc, one_build, those};
use crate::attach::{Running, fifo};
use crate::blocking::Attached;
use crate::number;
use crate::support::{fixtures, fixtures_of, gotrace};

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_cycle_that_had_begun_before_is_marked() {
    for fixture in fixtures_of("collector") {
        let mut program = Program::start(&fixture, "");
        program.tell("held");
        assert_eq!(program.hear()["marking"], true, "{}", fixture.name);
        let before = program.gctrace().len();
        let attached = Attached::to(program.pid(), &[]);
        program.step("end");
        program.step("forced 3");
        let report = attached.end();
        let cycles = report.all("gc");
        let partial: Vec<bool> = cycles.iter().map(|cycle| cycle["partial"] == true).collect();
        assert_eq!(partial, [true, false, false, false], "{}: {:?}", fixture.name, report.all("missing"));
        assert!(cycles[0]["trigger"].is_null() || cycles[0]["trigger"] == "manual", "{}", cycles[0]);
        // What the runtime has noted of it is there all the same.
        for (cycle, line) in cycles.iter().zip(&program.gctrace()[before..]) {
            let ((_, go_percent, go_rest), (_, percent, rest)) = (gctrace::parts(line), gctrace::of(cycle));
            assert_eq!((percent.as_str(), rest.as_str()), (go_percent, go_rest), "{}: {cycle}", fixture.name);
        }
        let sweep = those(&report, "stw", |stop| stop["reason"] == "GC sweep termination");
        assert_eq!(sweep.len(), 3, "{}: nobody saw the first", fixture.name);
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_process_that_ends_within_a_cycle_has_those_before() {
    for fixture in fixtures_of("collector") {
        let mut program = Program::start(&fixture, "");
        let attached = Attached::to(program.pid(), &[]);
        program.step("forced 5");
        program.tell("held");
        assert_eq!(program.hear()["marking"], true, "{}", fixture.name);
        program.tell("exit");
        assert_eq!(program.wait().code(), Some(3), "{}", fixture.name);
        let report = attached.wait();
        report.assert_complete(&fixture.name);
        // One more in which nothing was held up.
        let cycles = report.all("gc");
        assert_eq!(cycles.len(), 6, "{}: {:?}", fixture.name, report.all("missing"));
        assert_eq!(program.gctrace().len(), 6, "{}", fixture.name);
        let stops = those(&report, "stw", is_gc);
        let sweep = stops.iter().filter(|stop| stop["reason"] == "GC sweep termination");
        let ended: Vec<bool> = sweep.map(|stop| stop["cycle"].is_u64()).collect();
        assert_eq!(ended.len(), 7, "{}: {stops:?}", fixture.name);
        assert_eq!(number(&report.all("gc_summary")[0]["cycles"]), 6, "{}", fixture.name);
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_collector_that_is_off_is_said_to_be() {
    let mut command = Command::new(one_build().path);
    command.env("GOGC", "off").env("GODEBUG", "gctrace=1");
    let mut program = Program::of(command);
    let text = program.folder.path().join("report.txt");
    let option = text.to_str().expect("UTF-8").to_owned();
    let (_, report) = program.under_gotrace("garbage 64", &["-o", &option, "-o", "-"]);
    assert!(report.all("gc").is_empty() && program.gctrace().is_empty());
    let summary = report.all("gc_summary")[0];
    assert_eq!((number(&summary["cycles"]), &summary["gc_percent"]), (0, &(-1).into()), "{summary}");
    let text = fs::read_to_string(text).expect("the report");
    assert!(text.contains("GOGC") && text.contains("off"), "{text}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn without_gc_there_is_none_of_it() {
    let mut program = Program::start(&one_build(), "");
    let (_, report) = program.under_gotrace("forced 3", &["--no-gc"]);
    let of_gc = |line: &&serde_json::Value| {
        line["type"].as_str().is_some_and(|kind| kind.starts_with("gc") || kind == "stw")
    };
    assert!(!report.lines.iter().any(|line| of_gc(&line)), "{:?}", report.lines);
    assert!(report.all("missing").is_empty(), "{:?}", report.all("missing"));
}

/// Debian's programs are of Go 1.19, whose offsets nobody has measured: the rest of the report does not need them.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_version_that_is_not_known_is_refused_by_name_and_the_rest_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = fifo(folder.path());
    let of_debian = fixtures().into_iter().filter(|fixture| fixture.program == "caddy");
    for fixture in of_debian {
        let mut command = Command::new(&fixture.path);
        command.args(["adapt", "--adapter", "caddyfile", "--config"]).arg(&fifo);
        command.envs(&fixture.env).env("HOME", folder.path());
        let running = Running::start(command);
        running.attach_until(|attached| attached.one("blocked_now")["for_ns"].is_u64());
        let report = Attached::to(running.child.id(), &[]).end();
        let version = report.all("header")[0]["go_version"].as_str().expect("a version").to_owned();
        let refused = those(&report, "missing", |line| line["probe"] == "gc_cycle");
        assert_eq!(refused.len(), 1, "{version}: {:?}", report.all("missing"));
        assert!(refused[0]["reason"].as_str().is_some_and(|reason| reason.contains(&version)), "{refused:?}");
        assert!(report.all("gc").is_empty() && report.all("stw").is_empty());
        let waits = those(&report, "blocked_now", |line| line["object"].to_string().contains("fifo"));
        assert!(!waits.is_empty(), "{version}: {:?}", report.all("blocked_now"));
        eprintln!("{version}: {}", refused[0]["reason"]);
    }
}

/// An empty file would look like a program that never collected.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn gctrace_is_refused_where_there_would_be_none() {
    let refusal = |arguments: &[&str], program: &Path| {
        let output = gotrace().args(["run", "-f", "gctrace"]).args(arguments).arg("--").arg(program).output();
        let output = output.expect("gotrace runs");
        assert!(output.stdout.is_empty(), "the program has not run: {output:?}");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let fixture = one_build();
    let (code, said) = refusal(&["--no-gc"], &fixture.path);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--no-gc leaves nothing to write as gctrace"), "{said}");
    // Not in the virtual machines.
    for caddy in fixtures().into_iter().filter(|fixture| fixture.program == "caddy") {
        let (code, said) = refusal(&[], &caddy.path);
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("gctrace is not to be had here: ") && said.contains("go1.19"), "{said}");
    }
}
