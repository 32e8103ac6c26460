//! A capture tells what the session told that wrote it, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{Fixture, fixture, fixtures_of, gotrace, nethttp, parse};

const FORMATS: [&str; 8] =
    ["ndjson", "txt", "svg", "folded", "csv", "pb.gz", "trace.json", "speedscope.json"];

fn files(folder: &Path, formats: &[&str]) -> Vec<PathBuf> {
    formats.iter().map(|format| folder.join("a").with_extension(format)).collect()
}

fn with_outputs<'a>(command: &'a mut Command, files: &[PathBuf]) -> &'a mut Command {
    for file in files {
        command.arg("-o").arg(file);
    }
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `gotrace report` makes of a capture, by somebody who may do nothing and has no program at hand.
fn report(capture: &Path, formats: &[&str]) -> Vec<Vec<u8>> {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let (tool, copy) = (folder.path().join("gotrace"), folder.path().join("copy.gotrace"));
    fs::copy(gotrace().get_program(), &tool).expect("a copy of gotrace");
    fs::copy(capture, &copy).expect("a copy of the capture");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("its mode");
    for path in [&copy, folder.path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("its mode");
    }
    let files = files(folder.path(), formats);
    let output = with_outputs(Command::new(&tool).arg("report").arg(&copy), &files)
        .uid(65534)
        .gid(65534)
        .output()
        .expect("gotrace report");
    assert!(output.status.success(), "{}", said(&output));
    files.iter().map(|file| fs::read(file).expect("an output")).collect()
}

/// Runs a fixture with a capture and with every other report, and compares.
fn compare(fixture: &Fixture, options: &[&str], formats: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let (reports, capture) = (files(folder.path(), formats), folder.path().join("a.gotrace"));
    let mut command = gotrace();
    with_outputs(command.args(["run", "-q", "-o"]).arg(&capture).args(options), &reports);
    command.arg("--").arg(&fixture.path).args(&fixture.args).envs(&fixture.env);
    let output = command.stdout(Stdio::null()).output().expect("gotrace");
    let again = report(&capture, formats);
    for ((file, again), format) in reports.iter().zip(again).zip(formats) {
        let live = fs::read(file).expect("an output");
        assert!(!live.is_empty(), "{}: {}", fixture.name, said(&output));
        let (live, again) = (String::from_utf8_lossy(&live), String::from_utf8_lossy(&again));
        assert_eq!(live, again, "{} of {}", format, fixture.name);
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_captures_reports_are_those_of_the_run() {
    for build in ["default", "stripped", "pie"] {
        let of_build = fixtures_of("nethttp").into_iter().rfind(|fixture| fixture.build == build);
        compare(&of_build.expect("such a build"), &[], &FORMATS);
    }
    compare(&nethttp(), &["--top", "3", "--sort", "order", "--heap", "--ready-when", "accept"], &FORMATS);
    // It waits; it ends in an init; it is killed there; it becomes another program.
    for program in ["initsleep", "exitininit", "killininit", "execininit"] {
        compare(&fixture(program), &[], &FORMATS);
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_the_collector_does_is_in_a_capture() {
    // It allocates a hundred megabytes before main.main.
    compare(&fixture("slowstart"), &["--heap"], &["ndjson", "txt", "gctrace", "inittrace", "svg"]);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn several_runs_are_in_one_capture_and_can_be_compared() {
    compare(&nethttp(), &["--repeat", "3", "--until", "main"], &["ndjson", "txt"]);
    let folder = tempfile::tempdir().unwrap();
    let (capture, lines) = (folder.path().join("a.gotrace"), folder.path().join("a.ndjson"));
    let mut command = gotrace();
    command.args(["run", "-q", "--repeat", "3", "--until", "main", "-o"]).arg(&capture).arg("-o").arg(&lines);
    assert!(command.arg("--").arg(nethttp().path).stdout(Stdio::null()).status().unwrap().success());
    let diff = |a: &Path, b: &Path| gotrace().args(["diff", "--json"]).args([a, b]).output().unwrap();
    let (of_capture, of_lines) = (diff(&capture, &lines), diff(&lines, &lines));
    assert!(of_capture.status.success(), "{}", said(&of_capture));
    let figures = |output: &Output| {
        let lines = parse(std::str::from_utf8(&output.stdout).unwrap());
        lines.into_iter().filter(|line| line["type"] != "header").collect::<Vec<_>>()
    };
    assert_eq!(figures(&of_capture), figures(&of_lines));
    let refused =
        gotrace().args(["report", "-o"]).arg(folder.path().join("a.svg")).arg(&capture).output().unwrap();
    assert!(said(&refused).contains("svg is of one start"), "{}", said(&refused));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_captures_reports_are_those_of_the_watch() {
    let folder = tempfile::tempdir().unwrap();
    let (capture, lines) = (folder.path().join("a.gotrace"), folder.path().join("a.ndjson"));
    let mut command = gotrace();
    command.args(["watch", "--count", "3", "-o"]).arg(&capture).arg("-o").arg(&lines).arg(nethttp().path);
    let mut watcher = command.stderr(Stdio::piped()).spawn().unwrap();
    // Its first byte is of what it says when the probes are in place.
    std::io::Read::read_exact(watcher.stderr.as_mut().unwrap(), &mut [0]).unwrap();
    for _ in 0..3 {
        Command::new(nethttp().path).stdout(Stdio::null()).status().unwrap();
    }
    assert!(watcher.wait().unwrap().success());
    assert_eq!(
        parse(&fs::read_to_string(&lines).unwrap()).iter().filter(|line| line["type"] == "header").count(),
        3
    );
    assert_eq!(report(&capture, &["ndjson"]), [fs::read(&lines).unwrap()]);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_a_killed_gotrace_leaves_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (capture, part) = (folder.path().join("a.gotrace"), folder.path().join("a.gotrace.part"));
    let mut command = gotrace();
    command.args(["run", "-q", "--until", "exit", "-o"]).arg(&capture).arg("--").arg(nethttp().path);
    let mut tracer = command.args(["-sleep", "6s"]).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(3500));
    tracer.kill().unwrap();
    tracer.wait().unwrap();
    assert!(part.exists() && !capture.exists());
    let output = gotrace().args(["report", "--json"]).arg(&part).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("ends early"), "{}", said(&output));
    let lines = parse(std::str::from_utf8(&output.stdout).unwrap());
    assert!(lines.iter().any(|line| line["type"] == "init" && line["package"] == "net/http"));
    assert_eq!(lines.last().unwrap()["complete"], false);
    // It is not written over.
    let again = gotrace().args(["run", "-o"]).arg(&capture).arg("--").arg(nethttp().path).output().unwrap();
    assert!(said(&again).contains("a.gotrace.part is there"), "{}", said(&again));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_full_disk_is_told_and_the_program_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = |arguments: &[&str]| {
        Command::new(arguments[0]).args(&arguments[1..]).arg(folder.path()).status().unwrap().success()
    };
    assert!(mounted(&["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs"]));
    let mut command = gotrace();
    command
        .args(["run", "-q", "-o", "-", "-o"])
        .arg(folder.path().join("a.gotrace"))
        .arg("--")
        .arg(nethttp().path);
    let output = command.output();
    // Of what could not even be begun nothing is left, which would be in the way when there is room again.
    let filled = fs::write(folder.path().join("full"), [0; 4096]);
    let refused = command.output();
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(mounted(&["umount"]));
    filled.unwrap();
    let refused = refused.unwrap();
    assert!(said(&refused).contains("cannot write"), "{}", said(&refused));
    assert!(refused.stdout.is_empty(), "{refused:?}");
    assert_eq!(left, ["full"]);
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("a.gotrace") && said(&output).contains("No space left"),
        "{}",
        said(&output)
    );
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("main.main unix_ns=") && stdout.contains("package init"), "{stdout}");
}
