//! What the fixture says of itself after each step.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The runtime's own statistics; the counts are since the program's start.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Account {
    pub(super) num_gc: u64,
    pub(super) num_forced_gc: u64,
    pub(super) pause_total_ns: u64,
    /// The last of them, at most 256, the oldest first.
    pub(super) pause_ns: Option<Vec<u64>>,
    pauses: BTreeMap<String, Vec<Bucket>>,
    /// What the step has to say.
    pub(super) details: Value,
}

/// One bucket of a histogram of runtime/metrics.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Bucket {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
    pub(super) count: u64,
}

impl Account {
    pub(super) fn read(said: &Value) -> Self {
        let account = serde_json::from_value(said.clone());
        account.unwrap_or_else(|error| panic!("no account: {error}: {said}"))
    }

    /// What came to a histogram since an earlier account: for each duration, the bucket that it fell in, the
    /// shortest first. None where this version of Go has no such histogram.
    pub(super) fn since(&self, before: &Self, name: &str) -> Option<Vec<Bucket>> {
        let had = before.pauses.get(name)?;
        let count_before =
            |bucket: &Bucket| had.iter().find(|had| had.from_ns == bucket.from_ns).map_or(0, |had| had.count);
        let mut each = Vec::new();
        for bucket in self.pauses.get(name)? {
            for _ in count_before(bucket)..bucket.count {
                each.push(*bucket);
            }
        }
        each.sort_by_key(|bucket| bucket.from_ns);
        Some(each)
    }
}
