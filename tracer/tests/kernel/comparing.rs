//! Several runs of one program, budgets, and two programs' startups side by side.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::number;
use crate::support::{fixture, gotrace, is_emulated, nethttp, parse, text};

const NAP: &str = "example.com/initsleep/nap";

/// Runs `initsleep`, whose package nap sleeps as long as it is told.
fn initsleep(nap: &str, options: &[&str], report: &Path) -> Output {
    let mut command = gotrace();
    command.args(["run", "-q", "-o"]).arg(report).args(options).arg("--").arg(fixture("initsleep").path);
    command.env("NAP", nap).output().expect("gotrace runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn diff(a: &Path, b: &Path, options: &[&str]) -> String {
    let output = gotrace().arg("diff").args(options).args([a, b]).output().expect("gotrace runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

fn change<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    let found = lines.iter().find(|line| line["type"] == "change" && line["name"] == name);
    found.unwrap_or_else(|| panic!("no change of {name} in {lines:?}"))
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_init_that_sleeps_longer_is_what_became_slower() {
    let folder = tempfile::tempdir().unwrap();
    let [short, long] = ["short", "long"].map(|name| folder.path().join(name).with_extension("ndjson"));
    initsleep("5ms", &["--repeat", "4"], &short);
    initsleep("200ms", &["--repeat", "4"], &long);
    let lines = parse(&diff(&short, &long, &["--json"]));
    assert_eq!((&lines[0]["type"], &lines[0]["report"]), (&"header".into(), &"diff".into()));
    // Four runs on an emulated processor differ by more than the nap.
    let names = if is_emulated() { &[NAP][..] } else { &[NAP, "package_init", "to_main"] };
    for name in names {
        let change = change(&lines, name);
        let median = |side: &str| number(&change[side]["median_ns"]);
        assert_eq!((&change["verdict"], &change["basis"]), (&"slower".into(), &"range".into()), "{change}");
        assert_eq!(change["difference_ns"], median("b") - median("a"));
        assert!((180_000_000..400_000_000).contains(&number(&change["difference_ns"])), "{change}");
    }
    let summary = lines.last().unwrap();
    assert_eq!(
        (&summary["added"], &summary["removed"], &summary["moved"]),
        (&0.into(), &0.into(), &0.into())
    );

    let text = diff(&short, &long, &[]);
    assert!(text.contains(&format!("init:{NAP}")), "{text}");
    let back = parse(&diff(&long, &short, &["--json"]));
    assert_eq!(change(&back, NAP)["verdict"], "faster");
    assert!(diff(&short, &short, &[]).contains("nothing beyond the noise"));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn two_programs_differ_by_their_inits() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name).with_extension("ndjson"));
    initsleep("50ms", &[], &a);
    let mut command = gotrace();
    command.args(["run", "-q", "-o"]).arg(&b).arg("--").arg(nethttp().path);
    assert!(command.output().unwrap().status.success());
    let lines = parse(&diff(&a, &b, &["--json"]));
    let has = |kind: &str, name: &str| lines.iter().any(|line| line["type"] == kind && line["name"] == name);
    assert!(has("removed", NAP) && has("added", "net/http") && has("change", "runtime"));
    assert!(diff(&a, &b, &[]).contains("too few runs to know the noise"));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn several_runs_are_each_a_run_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.ndjson");
    let shown = folder.path().join("report.txt");
    let output = initsleep("5ms", &["--repeat", "3", "-o", shown.to_str().unwrap()], &report);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "main.main\n".repeat(3));
    let lines = parse(&std::fs::read_to_string(&report).unwrap());
    let headers: Vec<&Value> = lines.iter().filter(|line| line["type"] == "header").collect();
    let runs: Vec<(u64, u64)> =
        headers.iter().map(|header| (number(&header["run"]), number(&header["runs"]))).collect();
    assert_eq!(runs, [(1, 3), (2, 3), (3, 3)]);
    assert_eq!(lines.iter().filter(|line| line["type"] == "summary" && line["complete"] == true).count(), 3);
    let pids: std::collections::HashSet<u64> = headers.iter().map(|header| number(&header["pid"])).collect();
    assert_eq!(pids.len(), 3);
    let shown = std::fs::read_to_string(&shown).unwrap();
    assert!(shown.contains("3 runs") && shown.contains("to_main") && shown.contains(NAP), "{shown}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_budget_is_met_or_exceeded() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.ndjson");
    let run =
        |budget: &str, more: &[&str]| initsleep("50ms", &[&["--budget", budget], more].concat(), &report);
    let met = run(&format!("to_main=30s,init:{NAP}=20s,package_init=30s"), &[]);
    assert_eq!((met.status.code(), said(&met).as_str()), (Some(0), ""));

    let exceeded = run(&format!("to_main=30s,init:{NAP}=40ms"), &[]);
    assert_eq!(exceeded.status.code(), Some(6));
    assert!(
        said(&exceeded).starts_with(&format!("gotrace: budget exceeded: init:{NAP} is ")),
        "{}",
        said(&exceeded)
    );
    assert!(said(&exceeded).contains("over its 40.00 ms\n"), "{}", said(&exceeded));
    assert_eq!(said(&exceeded).lines().count(), 1, "{}", said(&exceeded));
    assert!(report.exists(), "the report comes all the same");

    let several = run("to_main=40ms", &["--repeat", "2"]);
    assert_eq!(several.status.code(), Some(6));
    assert!(said(&several).contains("the median of 2 runs"), "{}", said(&several));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_figure_that_was_not_reached_exceeds_its_budget() {
    for (program, budget) in [("exitininit", "to_main=1h"), ("exitininit", "init:no/such/package=1h")] {
        let mut command = gotrace();
        let command = command.args(["run", "-q", "--budget", budget, "--"]).arg(fixture(program).path);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(6));
        assert!(said(&output).contains("was not reached, or not measured"), "{}", said(&output));
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_first_run_that_failed_gives_the_exit_code() {
    let output = gotrace()
        .args(["run", "-q", "--repeat", "2", "--"])
        .arg(fixture("exitininit").path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_service_is_ended_before_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.ndjson");
    let begun = Instant::now();
    let mut command = gotrace();
    command.args(["run", "-q", "--repeat", "2", "--until", "main", "-o"]).arg(&report).arg("--");
    let output = command.arg(nethttp().path).args(["-sleep", "300s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(begun.elapsed() < Duration::from_secs(120));
    let lines = parse(&std::fs::read_to_string(&report).unwrap());
    let pids = lines.iter().filter(|line| line["type"] == "header").map(|header| number(&header["pid"]));
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} lives");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn an_interrupt_ends_all_runs_and_reports_those_that_were() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.ndjson");
    let mut command = gotrace();
    command.args(["run", "-q", "--repeat", "1000", "-o"]).arg(&report).arg("--").arg(nethttp().path);
    let mut child = command.args(["-sleep", "100ms"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first_two = [0; 60];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first_two).unwrap();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 130)), "{status}");
    let lines = parse(&std::fs::read_to_string(&report).unwrap());
    let summaries = lines.iter().filter(|line| line["type"] == "summary").count();
    assert!((1..1000).contains(&summaries), "{summaries}");
    assert_eq!(text(&lines[0]["type"]), "header");
}
