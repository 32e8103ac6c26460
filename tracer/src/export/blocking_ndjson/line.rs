//! The lines of a report on a running program. Fields may be added, never renamed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::header::Header;
use super::super::shared_lines::{FindingLine, MissingLine};
use crate::model::TimeSums;
use crate::model::blocking::{Site, Sums};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// A line of a report on a running program: of attach.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "RunningLine")]
pub(super) enum Line<'a> {
    /// Whose report it is: the first line.
    Header(Header<'a>),
    /// Calls or waits that were alike: of the same kind, at the same place. `fd`, `object` and `goid` are of the longest.
    Blocking {
        kind: &'static str,
        class: &'static str,
        idle: Option<&'static str>,
        cause: &'static str,
        syscall: String,
        caller: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retried: Option<bool>,
        fd: Option<u64>,
        object: Option<&'a str>,
        object_type: Option<&'static str>,
        goid: Option<u64>,
        #[serde(flatten)]
        times: Times,
        objects: Vec<Object<'a>>,
        site: Option<Origin<'a>>,
        site_is: &'static str,
        origin: Option<Origin<'a>>,
        stack: Vec<String>,
    },
    /// All that goroutines suffered for one cause: sums that can be added to those of other spans and processes.
    BlockingByCause {
        cause: &'static str,
        #[serde(flatten)]
        times: Times,
        buckets: Vec<Bucket>,
    },
    /// A goroutine that had not come back when the span ended.
    BlockedNow {
        goid: u64,
        state: &'a str,
        class: &'static str,
        idle: Option<&'static str>,
        wait_reason: Option<&'a str>,
        tid: Option<u32>,
        syscall: Option<&'a str>,
        fd: Option<u64>,
        object: Option<&'a str>,
        since_ns: Option<Nanos>,
        for_ns: Option<Nanos>,
        since_is_exact: Option<bool>,
        origin: Option<Origin<'a>>,
        stack: Vec<String>,
    },
    /// All calls of a system call by one kind of caller.
    Syscall {
        syscall: String,
        caller: &'static str,
        #[serde(flatten)]
        times: Times,
    },
    /// Time in which nobody waited for anything, by its class.
    Idle {
        class: &'static str,
        #[serde(flatten)]
        times: Times,
    },
    /// What the calls do to Go's scheduler.
    Scheduler {
        threads_made: u64,
        threads_for_blocking: u64,
        threads_for_work: u64,
        threads_by_c: u64,
        threads_unknown: u64,
        children: u64,
        calls_past_20us: u64,
        calls_past_10ms: u64,
        poller: Times,
        poller_waits: u64,
    },
    /// One of the slowest calls and waits.
    Slow {
        end_ns: Nanos,
        duration_ns: Nanos,
        kind: &'static str,
        class: Option<&'static str>,
        cause: Option<&'static str>,
        syscall: Option<String>,
        syscall_number: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        retried: Option<bool>,
        tid: u32,
        goid: Option<u64>,
        fd: Option<u64>,
        object: Option<&'a str>,
        result: i64,
        arguments: [u64; 3],
        site: Option<Origin<'a>>,
        stack: Vec<String>,
    },
    /// Where the program was met on a CPU, and how often.
    OnCpu {
        count: u64,
        caller: &'static str,
        syscall: Option<&'a str>,
        site: Option<Origin<'a>>,
        origin: Option<Origin<'a>>,
        stack: Vec<String>,
    },
    /// What stands out.
    Finding(FindingLine<'a>),
    /// What could not be seen, and why.
    Missing(MissingLine<'a>),
    /// A probe's account: its hits, and how many of them were lost.
    Loss {
        probe: &'static str,
        hits: u64,
        dropped: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        by_reason: Option<BTreeMap<String, u64>>,
    },
    /// The last line.
    Summary {
        to_main_ns: Option<Nanos>,
        to_ready_ns: Option<Nanos>,
        ended: &'static str,
        exit_code: Option<i32>,
        signal: Option<i32>,
        replaced_by: Option<&'a str>,
        end_ns: Nanos,
        span_ns: Nanos,
        suffered_ns: Nanos,
        blocked_now: usize,
        calls: u64,
        joined: u64,
        unknown_callers: u64,
        slow: u64,
        slow_untold: u64,
        events: u64,
        dropped: u64,
        undecodable: u64,
        complete: bool,
        target_overhead_ns: Option<Nanos>,
    },
}

/// How often and how long. Quantiles are upper bounds.
#[derive(Serialize, JsonSchema)]
pub(super) struct Times {
    count: u64,
    errors: u64,
    joined: u64,
    total_ns: Nanos,
    max_ns: Nanos,
    max_is_bound: bool,
    p50_ns: Option<Nanos>,
    p99_ns: Option<Nanos>,
}

impl Times {
    pub(super) fn of(sums: &Sums) -> Self {
        Self {
            count: sums.count,
            errors: sums.errors,
            joined: sums.joined,
            total_ns: sums.total,
            max_ns: sums.longest,
            max_is_bound: sums.longest_is_bound,
            p50_ns: sums.quantile(500),
            p99_ns: sums.quantile(990),
        }
    }
}

/// How many took that long: less than `to_ns`, and not less than a quarter less; the last bucket of all has no end.
#[derive(Serialize, JsonSchema)]
pub(super) struct Bucket {
    to_ns: Option<Nanos>,
    count: u64,
}

impl Bucket {
    /// Those that hold something.
    pub(super) fn of(sums: &Sums) -> Vec<Self> {
        sums.buckets().map(|(to_ns, count)| Self { to_ns, count }).collect()
    }
}

/// What an object took of a sum.
#[derive(Serialize, JsonSchema)]
pub(super) struct Object<'a> {
    object: &'a str,
    count: u64,
    total_ns: Nanos,
    max_ns: Nanos,
}

impl<'a> Object<'a> {
    pub(super) fn of((name, sums): (&'a String, &TimeSums)) -> Self {
        Self { object: name, count: sums.count, total_ns: sums.total, max_ns: sums.longest }
    }
}

/// A line of code.
#[derive(Serialize, JsonSchema)]
pub(super) struct Origin<'a> {
    function: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
}

impl<'a> Origin<'a> {
    pub(super) fn of(frame: &'a Frame) -> Self {
        let (function, file) = (&*frame.function, frame.file.as_deref());
        Self { function, file, line: file.map(|_| frame.line) }
    }

    pub(super) fn of_site(site: &'a Site) -> Option<Self> {
        let place = site.place()?;
        let (function, file) = (&*place.function, place.file.as_deref());
        Some(Self { function, file, line: file.map(|_| place.line) })
    }
}
