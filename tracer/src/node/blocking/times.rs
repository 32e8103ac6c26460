//! How long goroutines were blocked, by cause: what reports tell, added up.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::blocking::BlockingCause;
use crate::units::Nanos;

/// Ends of buckets of the kernel side's histograms, in nanoseconds, so that nothing is reckoned: about 100 µs, 1 ms, 10 ms,
/// 100 ms, 1 s and 10 s.
pub(super) const BOUNDS: [u64; 6] = [6 << 14, 4 << 18, 5 << 21, 6 << 24, 4 << 28, 5 << 31];

/// What processes of a workload were blocked on while they were watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::node) struct Blocked {
    /// For so long some process was watched.
    pub(in crate::node) watched: Nanos,
    /// By cause.
    pub(in crate::node) causes: BTreeMap<&'static str, Times>,
}

/// How often, and how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::node) struct Times {
    pub(in crate::node) count: u64,
    pub(in crate::node) total: Nanos,
    /// How many were shorter than each of [`BOUNDS`], and not than the one before.
    pub(in crate::node) shorter: [u64; BOUNDS.len()],
}

/// The lines of a report that count here (README.md, "NDJSON").
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    BlockingByCause {
        cause: String,
        count: u64,
        total_ns: u64,
        buckets: Vec<Bucket>,
    },
    Summary {
        span_ns: u64,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Bucket {
    to_ns: Option<u64>,
    count: u64,
}

impl Blocked {
    /// As a report on a running program tells, as NDJSON; none when that is none, or not whole.
    pub(super) fn of(report: &[u8]) -> Option<Self> {
        let mut blocked = Self::default();
        for line in report.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).ok()? {
                Line::BlockingByCause { cause, count, total_ns, buckets } => {
                    let cause = BlockingCause::ALL.into_iter().find(|known| known.name() == cause)?;
                    let mut times = Times { count, total: Nanos(total_ns), ..Times::default() };
                    buckets.iter().for_each(|bucket| times.note(bucket));
                    blocked.causes.entry(cause.name()).or_default().add(&times);
                }
                Line::Summary { span_ns } => {
                    blocked.watched = Nanos(span_ns);
                    return Some(blocked);
                }
                Line::Other => {}
            }
        }
        None
    }

    /// Adds others to these.
    pub(super) fn add(&mut self, other: &Self) {
        self.watched = self.watched.plus(other.watched);
        for (cause, more) in &other.causes {
            self.causes.entry(cause).or_default().add(more);
        }
    }
}

impl Times {
    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.total = self.total.plus(other.total);
        for (sum, more) in self.shorter.iter_mut().zip(other.shorter) {
            *sum = sum.saturating_add(more);
        }
    }

    fn note(&mut self, Bucket { to_ns, count }: &Bucket) {
        let fits = |bound: &u64| to_ns.is_some_and(|end| end <= *bound);
        if let Some(index) = BOUNDS.iter().position(fits) {
            self.shorter[index] = self.shorter[index].saturating_add(*count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::blocking::{BUCKETS, bucket_end};

    #[test]
    fn every_bound_is_the_end_of_a_bucket() {
        let ends: Vec<u64> = (0..BUCKETS).map(bucket_end).collect();
        assert!(BOUNDS.iter().all(|bound| ends.contains(bound)), "{BOUNDS:?}");
    }

    #[test]
    fn a_report_is_added_up_by_cause() {
        let report = include_bytes!("../../export/golden/blocking.ndjson");
        let mut blocked = Blocked::of(report).expect("a report");
        let causes: Vec<_> = blocked.causes.keys().copied().collect();
        assert_eq!(causes, ["file", "lock", "network"]);
        let file = blocked.causes["file"];
        assert!(file.count >= file.shorter.iter().sum() && file.total > Nanos(0), "{file:?}");
        let once = blocked.clone();
        blocked.add(&once);
        assert_eq!(blocked.causes["file"].count, 2 * file.count);
        assert_eq!(blocked.watched, once.watched.plus(once.watched));
    }

    #[test]
    fn a_report_that_breaks_off_or_is_none_counts_nothing() {
        for report in [
            &b""[..],
            b"gotrace: no\n",
            br#"{"type":"blocking_by_cause","cause":"file","count":1,"total_ns":1,"buckets":[]}"#,
            br#"{"type":"blocking_by_cause","cause":"weather","count":1,"total_ns":1,"buckets":[]}
{"type":"summary","span_ns":7}"#,
        ] {
            assert_eq!(Blocked::of(report), None);
        }
        let longest = br#"{"type":"blocking_by_cause","cause":"file","count":3,"total_ns":9,"buckets":[{"to_ns":null,"count":1},{"to_ns":1048576,"count":2}]}
{"type":"new"}
{"type":"summary","span_ns":7,"new":1}"#;
        let blocked = Blocked::of(longest).unwrap();
        let file = Times { count: 3, total: Nanos(9), shorter: [0, 2, 0, 0, 0, 0] };
        assert_eq!(blocked, Blocked { watched: Nanos(7), causes: [("file", file)].into() });
    }
}
