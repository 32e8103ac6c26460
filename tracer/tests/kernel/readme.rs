//! What the README shows, gotrace shows.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::attach::{BlackHole, Running};
use crate::support::{Fixture, fixtures_of, gotrace};
use crate::transcript::{Transcript, transcripts};

fn transcript(verb: &str) -> Transcript {
    let mut found = transcripts();
    found.retain(|transcript| transcript.command[0] == verb);
    assert_eq!(found.len(), 1, "one block of {verb}");
    found.remove(0)
}

/// The program of the block, as the Go version built it that the block names: files and lines are that one's.
fn shown(program: &str, transcript: &Transcript) -> Option<Fixture> {
    let mut found = fixtures_of(program);
    found.retain(|fixture| {
        let version = fixture.go.as_ref().map(|version| format!(" go{version}, "));
        fixture.build == "default" && version.is_some_and(|version| transcript.shown.contains(&version))
    });
    if found.is_empty() {
        eprintln!("not compared: {program} of the Go version that the README shows is not at hand");
    }
    found.pop()
}

#[test]
#[ignore = "needs root and fixtures: cargo xtask test"]
fn a_slow_start_is_shown_as_in_the_readme() {
    let transcript = transcript("run");
    let Some(fixture) = shown("slowstart", &transcript) else { return };
    let folder = fixture.path.parent().expect("the program's folder");
    let mut output = String::new();
    for _ in 0..5 {
        let done = gotrace().args(&transcript.command).current_dir(folder).output().expect("gotrace runs");
        output = String::from_utf8(done.stdout).expect("text");
        if transcript.is_shown_by(&output) {
            return;
        }
    }
    // What computes and what sleeps is in another order where the processors are faster, or others'.
    let missing = transcript.not_shown_by(&output);
    assert!(missing.is_empty(), "{output}\nlacks what the README shows: {missing:#?}");
}

#[test]
#[ignore = "needs root and fixtures: cargo xtask test"]
fn a_program_stuck_in_init_is_shown_as_in_the_readme() {
    let mut transcript = transcript("attach");
    let Some(fixture) = shown("stuckininit", &transcript) else { return };
    let hole = BlackHole::new();
    let running = Running::stuck(&fixture, "dial", &hole.at.to_string());
    // The name is that of others' programs too.
    let name = transcript.command.pop().expect("a program");
    assert_eq!(Path::new(&name).file_name(), fixture.path.file_name());
    transcript.command.push(running.child.id().to_string());
    let begin = Instant::now();
    loop {
        let output = gotrace().args(&transcript.command).output().expect("gotrace runs");
        let output = String::from_utf8(output.stdout).expect("text");
        if transcript.is_shown_by(&output) {
            return;
        }
        // The program needs its time to get there.
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{output}\nis not what the README shows:\n{}",
            transcript.shown
        );
        thread::sleep(Duration::from_millis(100));
    }
}
