//! The Trace Event Format, which <https://ui.perfetto.dev> and chrome://tracing read: what has a time, on the track of
//! the goroutine that it happened to. Sums have no place there; what else is known is in `otherData`.

mod args;
mod collector;
mod event;
mod goroutines;
mod metadata;
mod running;
mod start;
mod track;
mod wakeups;

use std::io::{self, Write};

use self::event::Writer;
use super::Export;
use crate::model::Report;
use crate::model::blocking::BlockingReport;

/// The format.
pub(super) struct TraceEvent;

impl Export for TraceEvent {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = Writer::new(&report.subject, report.timeline.begin, out)?;
        start::write(report, &mut writer)?;
        writer.finish(&metadata::OfStart::new(report))
    }

    fn running(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = Writer::new(&report.subject, report.began, out)?;
        running::write(report, &mut writer)?;
        writer.finish(&metadata::OfRunning::new(report, &report.all_findings()))
    }
}

#[cfg(test)]
mod tests;
