//! What `slowinit` notes of itself, and what gotrace reports, in numbers.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::Value;

use crate::number;

/// One stretch of one init, as the program measured it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) package: String,
    /// Where the time was spent: the function, its file and the line of the call.
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    /// The init function that led there.
    pub(crate) init: String,
    pub(crate) spent_ns: u64,
    /// Of it, by the main thread's CPU clock, which leaves out what a hypervisor took.
    pub(crate) on_cpu_ns: u64,
    /// Of it, by the kernel's schedstat; none where the kernel does not count that.
    pub(crate) runnable_ns: Option<u64>,
    /// What a hypervisor took at most meanwhile, which is in neither; none where the kernel does not tell.
    pub(crate) stolen_ns: Option<i64>,
    /// How far these two may be off.
    pub(crate) uncertain_ns: u64,
    /// Blocks read from storage meanwhile.
    pub(crate) in_blocks: u64,
}

impl Entry {
    /// The time that it was neither on a CPU nor ready for one, at least and at most: what a hypervisor took is on a
    /// CPU for gotrace.
    pub(crate) fn blocked_ns(&self) -> Option<RangeInclusive<u64>> {
        let most = self.spent_ns.saturating_sub(self.on_cpu_ns + self.runnable_ns?);
        let stolen = self.stolen_ns.unwrap_or(0).max(0).unsigned_abs();
        Some(most.saturating_sub(stolen)..=most)
    }
}

/// The program's notes, one JSON object a line.
pub(crate) fn read(stdout: &[u8]) -> Vec<Entry> {
    let text = String::from_utf8_lossy(stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no note: {line}")))
        .collect()
}

/// One part of the blocked time of an init or a phase.
pub(crate) fn part(line: &Value, kind: &str) -> u64 {
    number(&line["blocked"][format!("{kind}_ns")])
}

/// In `exec` gotrace's own child tells the time of its execve through a pipe, just before: some 25 µs.
const OWN: u64 = 60_000;

/// Every nanosecond is in one part, and hardly any in the remainder; otherwise, what is wrong.
pub(crate) fn not_adding_up(line: &Value) -> Option<String> {
    let Some(parts) = line["blocked"].as_object() else { return Some(format!("not split: {line}")) };
    let of = |field: &str| number(&line[field]);
    let wall = if line["type"] == "init" { of("wall_ns") } else { of("duration_ns") };
    let (blocked, remainder) = (of("blocked_ns"), of("remainder_ns"));
    let sum = of("on_cpu_ns") + of("runnable_ns") + blocked + remainder;
    if parts.values().map(number).sum::<u64>() != blocked {
        Some(format!("the blocked parts are not {blocked}: {line}"))
    } else if sum != wall {
        Some(format!("the parts are {sum} of {wall}: {line}"))
    } else if remainder > (wall / 50).max(if line["name"] == "exec" { OWN } else { 20_000 }) {
        Some(format!("a remainder of {remainder}: {line}"))
    } else {
        None
    }
}

/// As [`not_adding_up`], for one line.
pub(crate) fn assert_adds_up(line: &Value) {
    assert_eq!(not_adding_up(line), None);
}

/// Whether a wait's stack has the function at the line: frames read `package.function file.go:12`.
pub(crate) fn ends_with_place(wait: &Value, entry: &Entry) -> bool {
    let file = entry.file.rsplit('/').next().unwrap_or_default();
    let place = format!("{file}:{}", entry.line);
    let is_it = |frame: &str| {
        frame.split_once(' ').is_some_and(|(function, at)| {
            function == entry.function && (at == place || at.ends_with(&format!("/{place}")))
        })
    };
    wait["stack"].as_array().is_some_and(|stack| stack.iter().filter_map(Value::as_str).any(is_it))
}
