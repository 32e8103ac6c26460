//! System calls are counted exactly, whoever makes them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Report;
use crate::number;
use crate::support::fixtures_of;

/// How often a system call was made, and how often in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) count: u64,
    pub(super) errors: u64,
}

/// What the fixture says that it made.
pub(super) fn made(said: &Value) -> BTreeMap<String, Counted> {
    #[derive(Deserialize)]
    struct Made {
        syscall: String,
        count: u64,
        errors: u64,
    }
    let made: Vec<Made> = serde_json::from_value(said.clone()).expect("what it made");
    let total: u64 = made.iter().map(|made| made.count).sum();
    assert_eq!(total, 100_001, "100 000, and the write that tells of them");
    made.into_iter().map(|Made { syscall, count, errors }| (syscall, Counted { count, errors })).collect()
}

/// What gotrace counts, by system call, whoever made it.
fn counted(report: &Report) -> BTreeMap<String, Counted> {
    let mut counted: BTreeMap<String, Counted> = BTreeMap::new();
    for line in report.all("syscall") {
        let of = counted.entry(line["syscall"].as_str().expect("a name").to_owned()).or_default();
        of.count += number(&line["count"]);
        of.errors += number(&line["errors"]);
    }
    counted
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_hundred_thousand_system_calls_are_counted_one_by_one() {
    for fixture in fixtures_of("syscalls") {
        let (said, report) = Report::of(&fixture, &[], &[]);
        report.assert_complete(&fixture.name);
        let counted = counted(&report);
        for (syscall, made) in made(&said) {
            assert_eq!(counted.get(&syscall), Some(&made), "{}: {syscall} in {counted:?}", fixture.name);
        }
        let (calls, unknown) = (&report.summary()["calls"], &report.summary()["unknown_callers"]);
        assert!(number(unknown) * 1000 <= number(calls), "{}: {unknown} of {calls}", fixture.name);
    }
}
