//! gotrace is killed at random instants. The program lives, and after `gotrace repair` its code is as in its file.
//!
//! That the kernel can leave breakpoints behind is no guess: of 75 tracers that were killed while it armed or disarmed
//! just then, 7 left some (Linux 6.18). `GOTRACE_HARM_TIMES` says how often to kill; without it, as often as fits into a
//! minute.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::{Beside, Server, below, changed};
use crate::support::gotrace;

const LONG: Duration = Duration::from_secs(40);

/// When gotrace is killed.
#[derive(Clone, Copy, Debug)]
enum When {
    /// At any time from its start on.
    AtRandom,
    /// While the kernel arms its sites.
    Arming,
    /// While the kernel disarms them.
    Disarming,
}

fn times() -> Option<u64> {
    std::env::var("GOTRACE_HARM_TIMES").ok()?.parse().ok()
}

/// gotrace, on that server, in one of the ways that arm sites: in it, in all processes, in none that runs.
fn start(server: &Server, turn: u64) -> Beside {
    let mut command = gotrace();
    match turn % 3 {
        0 => {
            command.args(["attach", "--json", "--waits", "--duration", "200ms"]).arg(server.pid().to_string())
        }
        1 => command.args(["watch", "--json"]).arg(&server.fixture.path),
        _ => command.args(["run", "--"]).arg(&server.fixture.path).args(["-sleep", "200ms"]),
    };
    Beside::start(command)
}

fn is_ready(gotrace: &Beside) -> bool {
    let said = gotrace.said("stderr");
    said.contains("watching ") || said.contains("attached to ")
}

fn kill(gotrace: &mut Beside, server: &Server, when: When, most: Duration) {
    match when {
        When::AtRandom => {
            thread::sleep(Duration::from_micros(below(u64::try_from(most.as_micros()).expect("short"))));
        }
        When::Arming => gotrace.until(|_| !changed(server.pid()).is_empty()),
        When::Disarming => {
            gotrace.until(is_ready);
            let whole = changed(server.pid()).len();
            gotrace.signal(libc::SIGTERM);
            gotrace.until(|_| changed(server.pid()).len() < whole);
        }
    }
    gotrace.end();
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_killed_gotrace_does_no_harm() {
    let mut server = Server::start();
    server.assert_untouched("before all");
    let begin = Instant::now();
    let mut whole = Duration::from_millis(100);
    let (mut killed, mut left, mut bytes) = (0, 0, 0);
    while times().map_or(begin.elapsed() < LONG, |times| killed < times) {
        let when = match killed % 4 {
            // `run` arms nothing in the server.
            _ if killed % 3 == 2 => When::AtRandom,
            1 => When::Arming,
            3 => When::Disarming,
            _ => When::AtRandom,
        };
        let started = Instant::now();
        let mut gotrace = start(&server, killed);
        kill(&mut gotrace, &server, when, whole);
        if !matches!(when, When::AtRandom) {
            // So long it takes to get ready here.
            whole = whole.max(started.elapsed() + Duration::from_millis(100));
        }
        killed += 1;
        // A thousand take an hour where the machine is busy, and a test that prints nothing for minutes is ended.
        if killed % 50 == 0 {
            println!("killed {killed} times so far; {left} left something, {bytes} breakpoints in all");
        }
        server.assert_serves();
        let there = changed(server.pid());
        if there.is_empty() {
            continue;
        }
        left += 1;
        bytes += there.len();
        let repaired = server.repair();
        let said = String::from_utf8_lossy(&repaired.stdout);
        assert!(repaired.status.success(), "{said}{}", String::from_utf8_lossy(&repaired.stderr));
        assert!(said.contains("of a tracer that is gone removed"), "killed {killed} times: {said}");
        server.assert_untouched(&format!("{when:?}: {said}"));
        server.assert_serves();
    }
    eprintln!(
        "killed {killed} times; {left} left something, {bytes} breakpoints in all, and repair removed them"
    );
    let nothing = server.repair();
    let said = String::from_utf8_lossy(&nothing.stdout);
    assert!(nothing.status.success() && said.contains("there is nothing to repair"), "{said}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_terminated_gotrace_leaves_nothing() {
    let mut server = Server::start();
    for turn in 0..6 {
        let mut gotrace = start(&server, turn % 2);
        gotrace.until(|_| !changed(server.pid()).is_empty());
        gotrace.signal(libc::SIGTERM);
        gotrace.until(|_| false);
        server.assert_untouched(&format!("turn {turn}"));
    }
    server.assert_serves();
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_probes_of_a_tracer_that_is_attached_are_left_alone() {
    let server = Server::start();
    let mut watching = start(&server, 1);
    watching.until(is_ready);
    let armed = changed(server.pid());
    let repaired = server.repair();
    let said = String::from_utf8_lossy(&repaired.stdout);
    assert!(repaired.status.success() && said.contains("left to a tracer that is attached"), "{said}");
    assert_eq!(changed(server.pid()), armed);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_is_no_go_program_is_not_repaired() {
    let mut sleeper = Command::new("sleep").arg("60").spawn().expect("it starts");
    let output = gotrace().args(["repair", &sleeper.id().to_string()]).output().expect("gotrace runs");
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    sleeper.kill().expect("it can be killed");
    sleeper.wait().expect("it has ended");
    let output = gotrace().args(["repair", "4294967295"]).output().expect("gotrace runs");
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
}
