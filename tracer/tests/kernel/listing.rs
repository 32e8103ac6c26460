//! `gotrace list`.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Fixture, fixtures_of, gotrace, nethttp, parse};

/// Programs that do not outlive the test.
struct Started(Vec<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }
}

fn stuck(fixture: &Fixture) -> Command {
    let mut command = Command::new(&fixture.path);
    command.env("STUCK_IN", "sleep").stdin(Stdio::null());
    command
}

fn list() -> Vec<Value> {
    let output = gotrace().args(["list", "--json"]).output().expect("gotrace runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse(std::str::from_utf8(&output.stdout).expect("text"))
}

fn row(rows: &[Value], pid: u32) -> &Value {
    rows.iter().find(|row| row["pid"] == pid).unwrap_or_else(|| panic!("{pid} is not in {rows:?}"))
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_go_program_here_is_listed_as_what_it_is() {
    let fixtures = fixtures_of("stuckininit");
    let mut started = Started(Vec::new());
    for fixture in &fixtures {
        started.0.push(stuck(fixture).spawn().unwrap());
    }
    let foreign = Command::new("sleep").arg("60").spawn().unwrap();
    let foreign_pid = foreign.id();
    started.0.push(foreign);
    let begin = Instant::now();
    let rows = list();
    eprintln!("{} Go programs in {} ms", rows.len(), begin.elapsed().as_millis());
    for (fixture, child) in fixtures.iter().zip(&started.0) {
        let row = row(&rows, child.id());
        let version = format!("go{}", fixture.go.as_ref().unwrap());
        assert_eq!((&row["go_version"], &row["traceable"]), (&version.into(), &true.into()), "{row}");
        assert_eq!(row["module"], "example.com/stuckininit", "{row}");
        let linking = &row["linking"];
        assert_eq!(linking["pie"], fixture.build == "pie", "{row}");
        assert_eq!(linking["stripped"], fixture.build == "stripped", "{row}");
        assert_eq!(linking["cgo"], fixture.build == "cgo", "{row}");
    }
    assert!(rows.iter().all(|row| row["pid"] != foreign_pid), "sleep is no Go program");
    let text = gotrace().arg("list").output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with([' ', 'p']), "{text}");
    let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{} ", started.0[0].id())));
    assert!(line.is_some_and(|line| line.contains("(example.com/stuckininit)")), "{text}");
}

/// Deleted, in namespaces of its own, and one that only its owner may look at.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_is_special_about_a_process_is_said() {
    let fixture = nethttp();
    let fixture = fixtures_of("stuckininit").into_iter().find(|other| other.go == fixture.go).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listed-deleted");
    fs::copy(&fixture.path, &path).unwrap();
    let mut started =
        Started(vec![stuck(&Fixture { path: path.clone(), ..fixture.clone() }).spawn().unwrap()]);
    fs::remove_file(&path).unwrap();
    let deleted = started.0[0].id();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--fork", "--kill-child"]).arg(&fixture.path).env("STUCK_IN", "sleep");
    started.0.push(command.spawn().unwrap());
    let begin = Instant::now();
    let rows = loop {
        let rows = list();
        if rows.iter().any(|row| row["other_pid_namespace"] == true) {
            break rows;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{rows:?}");
        thread::sleep(Duration::from_millis(50));
    };
    let row = row(&rows, deleted);
    assert_eq!((&row["exe_deleted"], &row["other_pid_namespace"]), (&true.into(), &false.into()), "{row}");
    assert_eq!(row["traceable"], true, "{row}");
}
