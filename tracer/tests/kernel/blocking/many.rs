//! More of everything than a tracer likes.

use serde_json::Value;

use super::{Entry, Report};
use crate::number;
use crate::support::fixtures_of;

fn churn(mode: &[&str]) -> (Value, Report) {
    let mut fixtures = fixtures_of("churn");
    fixtures.retain(|fixture| fixture.build == "default");
    fixtures.sort_by_key(|fixture| fixture.name.clone());
    let fixture = fixtures.pop().expect("a default build");
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
    let mut counted = 0;
    for entry in Entry::all(&said["entries"]) {
        let mut lines = report.all("blocking");
        lines.retain(|line| line["syscall"] == "read" && line["object"] == *entry.object);
        // Some are shorter than what is told by itself.
        let count = Report::sum(&lines, "count");
        assert!(count <= entry.count, "{count} of {entry:?}: {lines:?}");
        assert!(Report::sum(&lines, "total_ns") <= entry.total_ns, "{entry:?}: {lines:?}");
        counted += count;
    }
    assert!(counted > 300, "{counted} waits with their FIFO");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn ten_thousand_threads_in_a_system_call_are_all_counted() {
    let (said, report) = churn(&["threads", "10000"]);
    let mut reads = report.all("blocking");
    reads.retain(|line| line["syscall"] == "read");
    // Besides, the main goroutine reads its cue.
    assert!(Report::sum(&reads, "count") >= number(&said["reads"]), "{reads:?}");
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
        assert_eq!(line["stack_whole"], false, "{line}");
        assert!(line["stack"].as_array().is_some_and(|stack| stack.len() >= 48), "{line}");
    }
}
