//! `go tool pprof` of several Go versions reads every profile, and what it reads adds up to what the report says.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::blocking::Report;
use crate::number;
use crate::support::{Fixture, Traced, fixtures_of, trace};

/// `pprof` of each Go version that `cargo xtask test` built it of.
fn readers() -> Vec<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("GOTRACE_PPROF").expect("GOTRACE_PPROF names a folder"));
    let versions = std::fs::read_dir(&folder).expect("a folder for each version");
    let mut found: Vec<PathBuf> =
        versions.map(|version| version.expect("an entry").path().join("pprof")).collect();
    found.sort();
    assert!(!found.is_empty(), "no pprof in {}", folder.display());
    found
}

/// A program as the oldest Go at hand built it, and as the newest did.
fn oldest_and_newest(program: &str) -> Vec<Fixture> {
    let mut builds = fixtures_of(program);
    builds.retain(|fixture| fixture.build == "default");
    builds.sort_by(|a, b| a.name.cmp(&b.name));
    let newest = builds.split_off(builds.len() - 1);
    builds.truncate(1);
    builds.into_iter().chain(newest).collect()
}

/// What pprof prints. Whatever it complains of is a failure.
fn pprof(reader: &Path, options: &[&str], profile: &Path) -> String {
    let mut command = Command::new(reader);
    let output = command.args(options).arg(profile).env("PPROF_TMPDIR", "/nonexistent").output();
    let output = output.expect("pprof runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {options:?}: {said}", reader.display());
    assert_eq!(said, "", "{} {options:?}", reader.display());
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What `-raw` shows: the types of the values, and their sums.
fn sums(reader: &Path, profile: &Path) -> Vec<(String, u64)> {
    let raw = pprof(reader, &["-raw"], profile);
    let mut lines = raw.lines().skip_while(|line| *line != "Samples:").skip(1);
    let types = lines.next().expect("the types").replace("[dflt]", "");
    let mut sums: Vec<(String, u64)> =
        types.split_whitespace().map(|of| (of.split('/').next().unwrap_or_default().to_owned(), 0)).collect();
    for line in lines.take_while(|line| *line != "Locations") {
        // The labels of a sample stand below it, each with a colon and brackets.
        let Some((values, _)) = line.split_once(": ").filter(|(_, rest)| !rest.contains('[')) else {
            continue;
        };
        let values: Vec<u64> = values.split_whitespace().map_while(|value| value.parse().ok()).collect();
        if values.len() == sums.len() {
            sums.iter_mut().zip(values).for_each(|((_, sum), value)| *sum += value);
        }
    }
    sums
}

fn expected(sums: &[(&str, u64)]) -> Vec<(String, u64)> {
    sums.iter().map(|(kind, sum)| ((*kind).to_owned(), *sum)).collect()
}

fn sum_of<'a>(lines: impl IntoIterator<Item = &'a &'a Value>, field: &str) -> u64 {
    lines.into_iter().map(|line| line[field].as_u64().unwrap_or(0)).sum()
}

/// Runs a fixture, and gives its report and its profile.
fn start(fixture: &Fixture, folder: &Path, options: &[&str]) -> (Traced, PathBuf) {
    let profile = folder.join(format!("{}.pb.gz", fixture.name));
    let options = [&["-o", profile.to_str().expect("UTF-8")], options].concat();
    let traced = trace::<&str>(fixture, &options, &[]);
    traced.assert_complete(&fixture.name);
    (traced, profile)
}

fn assert_adds_up(name: &str, traced: &Traced, profile: &Path) {
    let phases = traced.all("phase");
    let before_main: Vec<&Value> =
        phases.into_iter().filter(|phase| phase["name"] != "main" && phase["name"] != "ready").collect();
    let inits = traced.all("init");
    let of_phases = |field| sum_of(&before_main, field);
    let mut sums_of_report = vec![
        ("wall", number(&traced.summary()["to_main_ns"])),
        ("cpu", of_phases("on_cpu_ns")),
        ("runnable", of_phases("runnable_ns")),
        ("blocked", of_phases("blocked_ns")),
    ];
    if inits.iter().any(|init| !init["allocs"].is_null()) {
        let heap = [("alloc_objects", sum_of(&inits, "allocs")), ("alloc_space", sum_of(&inits, "bytes"))];
        sums_of_report.extend(heap);
    }
    for reader in readers() {
        assert_eq!(sums(&reader, profile), expected(&sums_of_report), "{name}: {}", reader.display());
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_start_reads_as_what_the_report_says() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in fixtures_of("nethttp") {
        let (traced, profile) = start(&fixture, folder.path(), &["--heap"]);
        assert_adds_up(&fixture.name, &traced, &profile);
        for reader in readers() {
            let tags = pprof(&reader, &["-tags"], &profile);
            assert!(tags.contains("net/http") && tags.contains("package_init"), "{}: {tags}", fixture.name);
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_an_init_waits_for_is_where_pprof_looks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    for mut fixture in oldest_and_newest("slowinit") {
        fixture.env.insert("SLOWINIT".to_owned(), "sleep".to_owned());
        let (traced, profile) = start(&fixture, folder.path(), &["--until", "main"]);
        assert_adds_up(&fixture.name, &traced, &profile);
        let (package, function) = ("example.com/slowinit/sleep", "example.com/slowinit/sleep.init.0");
        for reader in readers() {
            let top = pprof(&reader, &["-top", "-cum"], &profile);
            assert!(top.contains("Type: wall") && top.contains("complete: 0 lost"), "{top}");
            let peek = pprof(&reader, &["-peek", "time.Sleep"], &profile);
            assert!(peek.contains(function), "{}: {peek}", fixture.name);
            let traces = pprof(&reader, &["-traces", "-tagfocus=cause=sleep"], &profile);
            for part in [package, "time.Sleep", "package_init", "wait_reason:  sleep"] {
                assert!(traces.contains(part), "{}: {part} is not in {traces}", fixture.name);
            }
            // The line of the wait, not the one that the function begins in.
            let lines = pprof(&reader, &["-lines", "-top", "-cum", "-focus", "sleep.init.0"], &profile);
            let wait = traced.all("wait").into_iter().find(|wait| wait["package"] == package).unwrap();
            let frame = wait["stack"].as_array().unwrap().last().unwrap().as_str().unwrap();
            let place = frame.rsplit(' ').next().unwrap();
            assert!(lines.contains(place), "{}: {place} is not in {lines}", fixture.name);
        }
    }
}

/// Attaches to a fixture with a profile beside the report.
fn attach(fixture: &Fixture, case: &str, folder: &Path, options: &[&str]) -> (Report, PathBuf) {
    let profile = folder.join(format!("{}-{case}.pb.gz", fixture.name));
    let options = [&["-o", "-", "-o", profile.to_str().expect("UTF-8")], options].concat();
    let (_, report) = Report::of(fixture, &[case], &options);
    report.assert_complete(&fixture.name);
    (report, profile)
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_goroutines_are_blocked_on_reads_as_the_report_says() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in oldest_and_newest("blocked") {
        for (case, function) in [("tcp", "main.askLate.func1"), ("fifo", "main.")] {
            let (report, profile) = attach(&fixture, case, folder.path(), &[]);
            let lines = report.all("blocking");
            let suffered =
                lines.into_iter().filter(|line| line["class"] == "suffered" && line["retried"] != false);
            let count = suffered.map(|line| number(&line["count"])).sum();
            let delay = number(&report.summary()["suffered_ns"]);
            for reader in readers() {
                let read = sums(&reader, &profile);
                assert_eq!(read, expected(&[("contentions", count), ("delay", delay)]), "{}", fixture.name);
                let top = pprof(&reader, &["-top", "-cum"], &profile);
                assert!(top.contains("Type: delay") && top.contains("complete: 0 lost"), "{top}");
                assert!(top.contains(function), "{}: {top}", fixture.name);
                let tags = pprof(&reader, &["-tags"], &profile);
                for tag in ["cause:", "syscall:", "origin:", "object:"] {
                    assert!(tags.contains(tag), "{}: {tag} is not in {tags}", fixture.name);
                }
                pprof(&reader, &["-peek", "main"], &profile);
                pprof(&reader, &["-traces"], &profile);
            }
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn why_goroutines_are_parked_reads_as_the_report_says() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in oldest_and_newest("blocked") {
        let (report, profile) = attach(&fixture, "mutex", folder.path(), &["--waits", "--flame", "waits"]);
        let waits: Vec<&Value> = report
            .all("blocking")
            .into_iter()
            .filter(|line| line["kind"] == "wait" && line["idle"].is_null())
            .collect();
        let sums_of_report = ["count", "total_ns", "runnable_ns"].map(|field| sum_of(&waits, field));
        let [count, total, runnable] = sums_of_report;
        let of_report = expected(&[("contentions", count), ("delay", total), ("runnable", runnable)]);
        assert!(total > 0, "{}", fixture.name);
        for reader in readers() {
            assert_eq!(sums(&reader, &profile), of_report, "{}", fixture.name);
            let top = pprof(&reader, &["-top", "-cum", "-tagfocus=wait_reason=sync.Mutex.Lock"], &profile);
            assert!(top.contains("sync.(*Mutex).Lock"), "{}: {top}", fixture.name);
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn where_a_program_is_on_a_cpu_reads_as_the_report_says() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in oldest_and_newest("collector") {
        let profile = folder.path().join(format!("{}.pb.gz", fixture.name));
        let options = ["--flame", "cpu", "-o", "-", "-o", profile.to_str().unwrap()];
        let report = crate::gc::assisting(&fixture, &options);
        let samples = sum_of(&report.all("on_cpu"), "count");
        assert!(samples > 10, "{}: {samples}", fixture.name);
        let of_report = expected(&[("samples", samples), ("cpu", samples * (1_000_000_000 / 99))]);
        for reader in readers() {
            assert_eq!(sums(&reader, &profile), of_report, "{}", fixture.name);
            let top = pprof(&reader, &["-top", "-cum"], &profile);
            assert!(top.contains("Type: cpu") && top.contains("main."), "{}: {top}", fixture.name);
            // What profile-guided optimization finds lines by (cmd/internal/pgo).
            let raw = pprof(&reader, &["-raw"], &profile);
            let is_code = |line: &&str| line.contains(" M=1 ");
            assert!(raw.lines().any(|line| is_code(&line)), "{}: {raw}", fixture.name);
            let unknown = raw.lines().filter(is_code).find(|line| line.contains(" s=0"));
            assert_eq!(unknown, None, "{}", fixture.name);
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn who_helps_the_collector_reads_as_the_report_says() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in oldest_and_newest("collector") {
        let profile = folder.path().join(format!("{}.pb.gz", fixture.name));
        let options = ["--flame", "gc", "-o", "-", "-o", profile.to_str().unwrap()];
        let report = crate::gc::assisting(&fixture, &options);
        let assists = report.all("gc_assist");
        let [count, cpu] = ["count", "cpu_ns"].map(|field| sum_of(&assists, field));
        assert!(cpu > 0, "{}", fixture.name);
        for reader in readers() {
            let read = sums(&reader, &profile);
            assert_eq!(read, expected(&[("assists", count), ("assist_cpu", cpu)]), "{}", fixture.name);
            let top = pprof(&reader, &["-top", "-cum"], &profile);
            assert!(
                top.contains("runtime.mallocgc") && top.contains("main.often"),
                "{}: {top}",
                fixture.name
            );
        }
    }
}
