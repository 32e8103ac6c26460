//! What the kernel's verifier goes through of each program: loading takes as long as that, and there is an end to what a
//! kernel accepts, a million instructions. Loops that are followed in each of their turns come near it on one kernel and not
//! on the next.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use super::{Beside, Server};
use crate::support::{fixture, gotrace};

/// A quarter of what the kernel accepts (`BPF_COMPLEXITY_LIMIT_INSNS`, include/linux/bpf.h).
const MOST: u64 = 250_000;

/// How many instructions the verifier went through, of each program that the process holds by now, by its number
/// (proc_pid_fdinfo(5)).
fn verified(pid: u32) -> BTreeMap<u64, u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let programs = files.filter_map(|file| {
        // It may be closed by now.
        let said = fs::read_to_string(file.path()).ok()?;
        let number = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Some((number("prog_id:")?, number("verified_insns:")?))
    });
    programs.collect()
}

/// The same, of every program that gotrace has while it works.
fn verified_of(arguments: &[&str]) -> BTreeMap<u64, u64> {
    let mut command = gotrace();
    command.args(arguments);
    let mut gotrace = Beside::start(command);
    let (mut all, mut told) = (BTreeMap::new(), false);
    while gotrace.ended().is_none() {
        all.extend(verified(gotrace.child.id()));
        // By then it has loaded what it needs, and goes on until it is told.
        if !told && gotrace.said("stderr").contains("watching ") {
            gotrace.signal(libc::SIGINT);
            told = true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let said = gotrace.said("stderr");
    assert!(gotrace.ended().is_some_and(|status| status.success()), "{arguments:?}: {said}");
    all
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_program_is_far_from_what_the_verifier_accepts() {
    let server = Server::start();
    let (pid, sleeps) = (server.pid().to_string(), fixture("initsleep").path);
    let sleeps = sleeps.to_str().expect("UTF-8");
    // What sums up system calls, samples, and sees parked goroutines and the collector; what tells a start; and the same of
    // every process of a program.
    let ways: [&[&str]; 3] =
        [&["attach", "--waits", "--duration", "1s", &pid], &["run", "--", sleeps], &["watch", sleeps]];
    for (way, least) in ways.into_iter().zip([6, 5, 3]) {
        let found = verified_of(way);
        let gone_through: Vec<u64> = found.values().copied().collect();
        println!("{}: {gone_through:?}", way[0]);
        assert!(found.len() >= least, "{way:?}: only {found:?}");
        assert!(gone_through.iter().all(|count| *count <= MOST), "{way:?}: {found:?}");
    }
}
