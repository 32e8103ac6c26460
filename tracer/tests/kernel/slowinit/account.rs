//! What `slowinit` notes of itself, and what gotrace reports, in numbers.

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
    /// How far these two may be off.
    pub(crate) uncertain_ns: u64,
    /// Blocks read from storage meanwhile.
    pub(crate) in_blocks: u64,
}

impl Entry {
    /// The time that it was neither on a CPU nor ready for one.
    pub(crate) fn blocked_ns(&self) -> Option<u64> {
        Some(self.spent_ns.saturating_sub(self.on_cpu_ns + self.runnable_ns?))
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

/// Every nanosecond is in one part, and hardly any in the remainder.
pub(crate) fn assert_adds_up(line: &Value, name: &str) {
    let of = |field: &str| number(&line[field]);
    let wall = if line["type"] == "init" { of("wall_ns") } else { of("duration_ns") };
    let blocked = of("blocked_ns");
    let parts = line["blocked"].as_object().unwrap_or_else(|| panic!("{name}: not split: {line}"));
    assert_eq!(parts.values().map(number).sum::<u64>(), blocked, "{name}: {line}");
    let remainder = of("remainder_ns");
    assert_eq!(of("on_cpu_ns") + of("runnable_ns") + blocked + remainder, wall, "{name}: {line}");
    assert!(remainder <= (wall / 50).max(20_000), "{name}: {line}");
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
