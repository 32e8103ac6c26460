//! What is known beside the events: whose they are, what was lost, what is not shown.

use serde::Serialize;

use crate::export::header::Header;
use crate::export::shared_lines::{FindingLine, MissingLine};
use crate::model::blocking::BlockingReport;
use crate::model::gc::GcReport;
use crate::model::{Finding, Report, findings};
use crate::units::Nanos;

#[derive(Serialize)]
struct Common<'a> {
    /// Its `start_ns` is where the trace begins, on the boot clock.
    #[serde(flatten)]
    header: Header<'a>,
    complete: bool,
    dropped: u64,
    undecodable: u64,
    gc_cycles_not_shown: u64,
    stops_not_shown: u64,
    missing: Vec<MissingLine<'a>>,
}

/// Of a start.
#[derive(Serialize)]
pub(super) struct OfStart<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    to_main_ns: Option<Nanos>,
    to_ready_ns: Option<Nanos>,
    findings: Vec<String>,
}

impl<'a> OfStart<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let totals = report.totals();
        let mut common = Common {
            header: Header::of(&report.subject, report.timeline.begin),
            complete: report.is_complete(),
            dropped: totals.dropped,
            undecodable: totals.undecodable,
            gc_cycles_not_shown: 0,
            stops_not_shown: 0,
            missing: report.missing.iter().map(MissingLine::of).collect(),
        };
        common.add(report.gc.as_ref());
        let told = findings(&report.timeline);
        Self {
            common,
            to_main_ns: report.timeline.to_main,
            to_ready_ns: report.timeline.to_ready(),
            findings: told.into_iter().map(|finding| finding.text).collect(),
        }
    }
}

/// Of a running program.
#[derive(Serialize)]
pub(super) struct OfRunning<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    end_ns: Nanos,
    /// From how long on calls and waits were told one by one.
    slow_from_ns: Nanos,
    slow: u64,
    /// So many more there were; the slowest are shown.
    slow_not_shown: u64,
    /// So many more waits there were that another goroutine ended; the longest are shown. None where the scheduler was
    /// not probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    wakeups_not_shown: Option<u64>,
    lost_stacks: u64,
    findings: Vec<FindingLine<'a>>,
}

impl<'a> OfRunning<'a> {
    pub(super) fn new(report: &'a BlockingReport, findings: &'a [Finding]) -> Self {
        let losses = &report.losses;
        let mut common = Common {
            header: Header::of(&report.subject, report.began),
            complete: losses.is_complete(),
            dropped: losses.dropped(),
            undecodable: losses.undecodable,
            gc_cycles_not_shown: 0,
            stops_not_shown: 0,
            missing: report.missing.iter().map(MissingLine::of).collect(),
        };
        common.add(report.gc.as_ref());
        Self {
            common,
            end_ns: report.ended,
            slow_from_ns: report.slow_from,
            slow: report.slow_count,
            slow_not_shown: report.slow_count.saturating_sub(report.slow.len() as u64),
            wakeups_not_shown: report
                .parking
                .as_ref()
                .map(|parking| parking.wakeup_count.saturating_sub(parking.wakeups.len() as u64)),
            lost_stacks: losses.lost_stacks(),
            findings: findings.iter().map(FindingLine::of).collect(),
        }
    }
}

impl<'a> Common<'a> {
    fn add(&mut self, gc: Option<&'a GcReport>) {
        let Some(gc) = gc else { return };
        self.gc_cycles_not_shown = gc.totals.untold_cycles.saturating_add(gc.totals.missed);
        let unseen = gc.stops.iter().filter(|stop| stop.start.is_none()).count() as u64;
        self.stops_not_shown = gc.totals.untold_stops + unseen;
        self.missing.extend(gc.missing.iter().map(MissingLine::of));
    }
}
