//! First starts that are held: seen whole, and let go on whatever becomes of the agent. Only in a guest: what is executed
//! meanwhile, by whomever, asks the agent first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Agent, run};
use crate::support::{is_emulated, nethttp};

fn agent(hold: &str) -> Agent {
    let agent = Agent::of(&["--select".to_owned(), "module=example.com/nethttp".to_owned(), hold.to_owned()]);
    agent.wait_for("readiness", |agent| agent.get("/readyz").starts_with("HTTP/1.1 200 "));
    // The file systems are found by a thread of their own: until then nobody is asked of.
    agent.wait_for("being asked", |agent| {
        run(Path::new("/bin/true"));
        agent.sum("gotrace_gate_held_seconds_count") > 0.0
    });
    agent
}

fn signal(agent: &Agent, signal: &str) {
    assert!(
        Command::new("kill")
            .args([signal, &agent.child.id().to_string()])
            .status()
            .expect("kill runs")
            .success()
    );
}

/// A program that nobody has run yet.
fn new(folder: &Path, name: &str) -> PathBuf {
    let program = folder.join(name);
    std::fs::copy(nethttp().path, &program).expect("a copy");
    program
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_first_start_is_seen_from_its_first_instruction_on() {
    if !is_emulated() {
        eprintln!("skipped: others' execves are held in a guest only");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Here a machine is emulated, and everything takes its time.
    let agent = agent("--gate-new=1s");
    for name in ["gate-0", "gate-1", "gate-2"] {
        run(&new(folder.path(), name));
    }
    agent.wait_for("the starts", |agent| agent.sum("gotrace_starts_total") == 3.0);
    assert_eq!(agent.sum("gotrace_startup_seconds_count"), 3.0);
    assert_eq!(agent.sum("gotrace_starts_joined_late_total"), 0.0);
    let phases = agent.samples("gotrace_last_startup_phase_seconds");
    let whole = phases.keys().filter(|labels| labels.contains("phase=\"runtime_bootstrap\"")).count();
    assert_eq!(whole, 3, "{phases:?}");

    // What it is, is known by now.
    let held = agent.sum("gotrace_gate_held_seconds_count");
    for name in ["gate-0", "gate-1", "gate-2"] {
        run(&folder.path().join(name));
    }
    agent.wait_for("the second starts", |agent| agent.sum("gotrace_starts_total") == 6.0);
    assert_eq!(agent.sum("gotrace_gate_held_seconds_count"), held);
    assert_eq!((agent.sum("gotrace_gate_expired_total"), agent.sum("gotrace_gate_open")), (0.0, 1.0));
    agent.end();
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn who_is_held_goes_on_when_the_agent_dies_or_ends_or_is_late() {
    if !is_emulated() {
        eprintln!("skipped: others' execves are held in a guest only");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (index, how) in ["-KILL", "-TERM", "-CONT"].into_iter().enumerate() {
        let agent = agent("--gate-new=500ms");
        // One that answers nobody.
        signal(&agent, "-STOP");
        let program = new(folder.path(), &format!("gate-{index}"));
        let started = std::thread::spawn(move || {
            let begun = Instant::now();
            let status = Command::new(&program).stdout(Stdio::null()).status().expect("it is executed");
            (status, begun.elapsed())
        });
        std::thread::sleep(Duration::from_secs(2));
        assert!(!started.is_finished(), "it was not held: nothing is shown by this");
        signal(&agent, how);
        if how == "-TERM" {
            signal(&agent, "-CONT");
        }
        let (status, took) = started.join().unwrap();
        assert!(status.success() && took > Duration::from_secs(2), "{how}: {status} after {took:?}");
        if how == "-CONT" {
            agent.wait_for("that it gives up", |agent| agent.sum("gotrace_gate_open") == 0.0);
            // From now on nobody waits for it.
            signal(&agent, "-STOP");
            run(&new(folder.path(), "gate-after"));
            signal(&agent, "-CONT");
            agent.end();
        }
        // Nobody asks any more.
        run(&new(folder.path(), &format!("gate-{index}-after")));
    }
}
