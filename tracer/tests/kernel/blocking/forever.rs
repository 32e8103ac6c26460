//! What waits since before the attach, and still does.

use super::{Attached, Cued, Entry};
use crate::number;
use crate::support::{fixtures_of, is_emulated};

/// The goroutines of `blocked forever`, and the system call that each is in or would have blocked in.
const CALLS: [(&str, &str); 5] = [
    ("main.foreverInNetwork", "read"),
    ("main.foreverInAccept", "accept4"),
    ("main.foreverInRead", "read"),
    ("main.foreverInPoller", "read"),
    ("main.foreverInLock", "flock"),
];

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_has_not_returned_is_told_also_when_it_began_before() {
    for fixture in fixtures_of("blocked") {
        let cued = Cued::start(&fixture, &["forever"]);
        let entries = Entry::all(&cued.ready);
        assert_eq!(entries.len(), CALLS.len());
        let report = Attached::to(cued.pid(), &[]).end();
        let now = report.all("blocked_now");
        for entry in entries {
            let of = |line: &&&serde_json::Value| number(&line["goid"]) == entry.goid;
            let line = now.iter().find(of);
            let line = line.unwrap_or_else(|| panic!("{}: {entry:?} is not in {now:?}", fixture.name));
            let (_, call) = CALLS.iter().find(|(function, _)| *function == entry.function).expect("known");
            // A goroutine in the poller is in no system call now, and nobody saw the one that it was in.
            let is_told = line["syscall"] == *call || line["wait_reason"] == "IO wait";
            assert!(is_told, "{}: {line} for {entry:?}", fixture.name);
            let object = line["object"].as_str().unwrap_or_default();
            assert!(object.contains(&entry.object), "{}: {line} for {entry:?}", fixture.name);
            assert!(entry.is_below(line), "{}: {line} for {entry:?}", fixture.name);
            // How long is a lower bound where nobody saw the beginning, and never more than it can be.
            if let Some(since) = line["since_ns"].as_u64() {
                // A thread's time off the CPU is on the scheduler's clock, which is put right at ticks (of 4 ms, Debian's)
                // where the processor's counter is not to be trusted, as in a machine that is emulated.
                let room = if is_emulated() { 8_000_000 } else { 1_000_000 };
                assert!(since + room >= entry.since_ns, "{}: {line} for {entry:?}", fixture.name);
            }
        }
    }
}
