//! What strace counts of the same program.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::counts::{Counted, made};
use super::{Cued, PATIENCE};
use crate::support::{fixtures_of, mind_interrupts};

/// Attaches strace to a fixture that is ready, and counts what it does until it is done.
fn count(cued: &mut Cued) -> (serde_json::Value, BTreeMap<String, Counted>) {
    let table = cued.folder.path().join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-p"]).arg(cued.pid().to_string()).arg("-o").arg(&table);
    mind_interrupts(&mut command);
    let mut strace =
        command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace is on this machine");
    let mut stderr = strace.stderr.take().expect("a pipe");
    // "strace: Process 1234 attached with 8 threads", when it has all of them.
    let mut said = [0; 256];
    let length = stderr.read(&mut said).expect("what strace says");
    let said = String::from_utf8_lossy(&said[..length]).into_owned();
    assert!(said.contains("attached"), "{said}");
    let traced = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", cued.pid())).expect("its threads");
        let status = tasks.map(|task| fs::read_to_string(task.expect("a thread").path().join("status")));
        status.flatten().all(|status| status.contains(&format!("TracerPid:\t{}\n", strace.id())))
    };
    let begin = Instant::now();
    while !traced() {
        assert!(begin.elapsed() < PATIENCE, "strace has not all threads");
        thread::sleep(Duration::from_millis(5));
    }
    // Whoever follows a thread of a busy process talks about it, and must not wait for a reader.
    let talk = thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    let done = cued.go();
    // The last write is counted when strace has seen it return: then its thread waits for the next thing.
    cued.settle();
    // SAFETY: the child is ours and not waited for, so the number is still its.
    assert_eq!(unsafe { libc::kill(strace.id().cast_signed(), libc::SIGINT) }, 0);
    strace.wait().expect("strace ends");
    drop(talk.join());
    (done, read(&fs::read_to_string(table).expect("strace's table")))
}

/// `% time  seconds  usecs/call  calls  [errors]  syscall`.
fn read(table: &str) -> BTreeMap<String, Counted> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.first()?.parse::<f64>().ok()?;
        let number = |index: usize| words.get(index)?.parse::<u64>().ok();
        let errors = if words.len() == 6 { number(4)? } else { 0 };
        Some(((*words.last()?).to_owned(), Counted { count: number(3)?, errors }))
    };
    table.lines().filter_map(row).collect()
}

/// The other tests believe what the fixture says of itself; here is why.
#[test]
#[ignore = "needs root, strace and fixtures: cargo xtask test"]
fn what_the_fixture_says_is_what_strace_counts() {
    for fixture in fixtures_of("syscalls") {
        let (said, counted) = count(&mut Cued::start(&fixture, &[]));
        for (syscall, made) in made(&said) {
            assert_eq!(counted.get(&syscall), Some(&made), "{}: {syscall}", fixture.name);
        }
    }
}
