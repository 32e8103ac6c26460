//! More of everything than a tracer likes.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{Attached, Cued, Entry, Report, frames};
use crate::number;
use crate::support::fixtures_of;

fn churn(mode: &[&str]) -> (Value, Report) {
    let fixture = fixtures_of("churn").pop().expect("its fixture");
    let (said, report) = Report::of(&fixture, mode, &[]);
    report.assert_complete(&fixture.name);
    (said, report)
}

/// A descriptor's number is another file's a moment later; what was waited for is the file of the moment.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_reused_descriptor_is_what_it_was_during_the_wait() {
    let (said, report) = churn(&["descriptors", "2"]);
    let opened = number(&said["opened"]);
    assert!(opened > 50_000, "{opened} descriptors in two seconds is no churn");
    let (mut counted, mut waits) = (0, 0);
    for entry in Entry::all(&said["entries"]) {
        // Of a FIFO that is closed again when its path is asked for, the kernel has the last part still.
        let file = entry.object.rsplit('/').next().unwrap_or_default();
        let mut lines = report.all("blocking");
        lines.retain(|line| line["syscall"] == "read");
        let objects = lines.iter().flat_map(|line| line["objects"].as_array().into_iter().flatten());
        let objects: Vec<&Value> = objects
            .filter(|object| {
                let name = object["object"].as_str().unwrap_or_default();
                name.ends_with(&entry.object) || name.contains(&format!("…/{file} (inode "))
            })
            .collect();
        // Some are shorter than what is told by itself; one that a signal interrupts is two.
        let count = Report::sum(&objects, "count");
        assert!(count <= entry.count + 3, "{count} of {entry:?}: {lines:?}");
        assert!(Report::sum(&objects, "total_ns") <= entry.total_ns, "{entry:?}: {lines:?}");
        counted += count;
        waits += entry.count;
    }
    assert!(counted * 10 >= waits * 9, "{counted} of {waits} waits with their FIFO");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn ten_thousand_threads_in_a_system_call_are_all_counted() {
    let (said, report) = churn(&["threads", "10000"]);
    // They were in it already, so how long they were is not known; besides, the main goroutine reads its cue.
    let mut reads = report.all("syscall");
    reads.retain(|line| line["syscall"] == "read");
    assert!(Report::sum(&reads, "joined") >= number(&said["reads"]), "{reads:?}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_stack_that_is_too_deep_is_marked() {
    let (said, report) = churn(&["deep", "400"]);
    let entry = &Entry::all(&said)[0];
    let mut lines = report.all("blocking");
    lines.retain(|line| entry.is_in(line));
    assert_eq!(Report::sum(&lines, "count"), entry.count, "{lines:?} for {entry:?}");
    for line in lines {
        let frames: Vec<&str> = frames(line).collect();
        assert!(frames.len() >= 48, "{line}");
        assert!(!frames.iter().any(|frame| frame.starts_with("main.main ")), "{line}");
    }
}

/// As many calls a second as are asked for, after a while without any, all told one by one: how many of the records found
/// no room.
fn flood(a_second: &str, ring_size: &str, rest: Duration) -> (u64, u64) {
    let fixture = fixtures_of("churn").pop().expect("its fixture");
    let mut cued = Cued::start(&fixture, &["calls", a_second]);
    let attached = Attached::to(cued.pid(), &["--slow", "0s", "--ring-size", ring_size]);
    thread::sleep(rest);
    let made = number(&cued.go()["getppid"]);
    let report = attached.end_complete_or_not();
    // The sums are the kernel's, so they are exact whatever is lost.
    let mut lines = report.all("syscall");
    lines.retain(|line| line["syscall"] == "getppid");
    assert_eq!(Report::sum(&lines, "count"), made);
    // And what is lost is counted to the last record.
    let losses = report.all("loss");
    let slow = losses.iter().find(|loss| loss["probe"] == "slow").expect("what was lost of slow calls");
    let (hits, dropped) = (number(&slow["hits"]), number(&slow["dropped"]));
    assert_eq!(hits, number(&report.summary()["slow"]) + dropped, "{slow} {}", report.summary());
    assert_eq!(report.summary()["complete"], dropped == 0);
    eprintln!("{made} calls made, {hits} records, {dropped} dropped");
    assert!(hits >= made, "{hits} records of {made} calls");
    (made, dropped)
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn two_hundred_thousand_calls_a_second_are_told_one_by_one() {
    // Others may hold gotrace up for longer than the ring has room for, but not always.
    let is_told = |(made, dropped)| made > 300_000 && dropped == 0;
    assert!(
        (0..3).any(|_| is_told(flood("200000", "16384", Duration::ZERO))),
        "records were lost three times"
    );
}

/// gotrace sleeps then until something comes, and is woken by the first call.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn calls_after_a_rest_are_told_one_by_one() {
    let rest = Duration::from_millis(2500);
    let is_told = |(made, dropped)| made > 300_000 && dropped == 0;
    assert!((0..3).any(|_| is_told(flood("200000", "16384", rest))), "records were lost three times");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_that_rests_hardly_wakes_gotrace() {
    let fixture = fixtures_of("churn").pop().expect("its fixture");
    let cued = Cued::start(&fixture, &["deep", "1"]);
    let attached = Attached::to(cued.pid(), &[]);
    thread::sleep(Duration::from_secs(2));
    let before = attached.switches();
    thread::sleep(Duration::from_secs(4));
    let woken = attached.switches() - before;
    attached.end();
    assert!(woken < 40, "{woken} times in four seconds");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_finds_no_room_is_counted_to_the_last_record() {
    let (made, dropped) = flood("0", "8", Duration::ZERO);
    assert!(dropped > made / 10, "{dropped} of {made} are no overload");
}
