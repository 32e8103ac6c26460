//! The report as one HTML page: a summary, what stands out, charts that can be zoomed, tables that can be sorted.
//!
//! The page needs nothing but itself: no network, no library. Its tables are HTML, so they are there without
//! a script; its script draws the charts from the report's own NDJSON lines, which the page carries as data, and makes
//! the tables sortable. Names from outside are escaped here and put in by `textContent` there, and the page's own policy
//! (Content-Security-Policy) lets nothing run but the one script that it was written with.

mod account;
mod collector;
mod data;
mod findings;
mod markup;
mod page;
mod parking;
mod running;
mod start;
mod table;

use std::io::{self, Write};

use self::page::Page;
use super::{Export, Ndjson};
use crate::model::Report;
use crate::model::blocking::BlockingReport;

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct Html;

impl Export for Html {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let mut lines = Vec::new();
        Ndjson.start(report, &mut lines)?;
        let heading = start::heading(report)?;
        Page { subject: &report.subject, kind: "start", heading, lines: &lines }
            .write(out, |out| start::write(report, out))
    }

    fn running(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let mut lines = Vec::new();
        Ndjson.running(report, &mut lines)?;
        let heading = running::heading(report)?;
        Page { subject: &report.subject, kind: "running", heading, lines: &lines }
            .write(out, |out| running::write(report, out))
    }
}

#[cfg(test)]
mod tests;
