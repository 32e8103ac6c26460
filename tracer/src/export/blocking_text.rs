//! What a running program is blocked on, for people: what stands out, who suffers, who is blocked now, and what to
//! think of the data.

pub(super) mod now;
pub(super) mod sites;
mod tables;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::printable;
use super::subject::subject_line;
use crate::model::Ending;
use crate::model::blocking::{BlockingReport, Site};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// How many findings are shown.
const FINDINGS: usize = 8;

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct BlockingText {
    /// How many rows a table has; zero for all.
    pub rows: usize,
    /// Whether the reader is a terminal that shows colours.
    pub color: bool,
}

impl BlockingText {
    /// Writes the whole report.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        self.heading(report, out)?;
        self.findings(report, out)?;
        self.sites(report, out)?;
        self.now(report, out)?;
        self.on_cpu(report, out)?;
        if let Some(parking) = &report.parking {
            parking.write_text(self.color, out)?;
        }
        if let Some(gc) = &report.gc {
            gc.write_text(self.color, out)?;
        }
        self.idle(report, out)?;
        self.syscalls(report, out)?;
        self.scheduler(report, out)?;
        self.losses(report, out)
    }

    fn style(self, style: Style) -> Style {
        if self.color { style } else { Style::new() }
    }

    fn bold(self) -> Style {
        self.style(Style::new().bold())
    }

    fn dim(self) -> Style {
        self.style(Style::new().dimmed())
    }

    fn warn(self) -> Style {
        self.style(AnsiColor::Yellow.on_default())
    }

    /// The rows that are shown.
    fn shown<T>(self, mut rows: Vec<T>) -> Vec<T> {
        if self.rows != 0 {
            rows.truncate(self.rows);
        }
        rows
    }

    /// Whose report it is, and what it comes to.
    ///
    /// # Errors
    /// Only those of the writer.
    pub(super) fn heading(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let (bold, dim) = (self.bold(), self.dim());
        let which = format!("pid {}", report.subject.pid);
        writeln!(out, "{}", subject_line(&report.subject, &which, [bold, dim]))?;
        let ending = match &report.ending {
            Ending::Running => "still running".to_owned(),
            Ending::Exited(code) => format!("exited with {code}"),
            Ending::Killed(signal) => format!("killed by signal {signal}"),
            Ending::Gone => "ended".to_owned(),
            Ending::Replaced(by) => format!("became {}, which is not traced", printable(by)),
        };
        let causes: Vec<String> = report
            .by_cause()
            .iter()
            .filter(|group| group.sums.total > Nanos(0))
            .map(|group| format!("{} {}", group.key.name(), group.sums.total.for_people()))
            .collect();
        let by_cause = if causes.is_empty() { String::new() } else { format!(": {}", causes.join(", ")) };
        writeln!(
            out,
            "in {} its goroutines were blocked for {bold}{}{bold:#} in all{by_cause}; {ending}\n",
            report.span().for_people(),
            report.suffered_total().for_people(),
        )
    }

    fn findings(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let findings = report.all_findings();
        if findings.is_empty() {
            return Ok(());
        }
        let (bold, dim, warn) = (self.bold(), self.dim(), self.warn());
        writeln!(out, "{bold}what stands out{bold:#}")?;
        for finding in findings.iter().take(FINDINGS) {
            writeln!(
                out,
                "  {warn}{:>9}{warn:#}  {}",
                finding.duration.for_people(),
                printable(&finding.text)
            )?;
            if let Some(place) = &finding.place {
                writeln!(out, "             {dim}at{dim:#} {}", printable(&place.to_string()))?;
            }
            writeln!(out, "             {dim}{}{dim:#}", finding.advice)?;
        }
        if let Some(more) = findings.len().checked_sub(FINDINGS).filter(|more| *more > 0) {
            writeln!(out, "  {dim}and {more} more, in the NDJSON report{dim:#}")?;
        }
        writeln!(out)
    }
}

/// A go statement for people. The runtime's first code makes the main goroutine, without one
/// (runtime/asm_amd64.s, `rt0_go`).
pub(super) fn origin_name(origin: &Frame) -> String {
    match &*origin.function {
        "runtime.newproc" | "runtime.rt0_go" => "the program's start".to_owned(),
        _ => origin.to_string(),
    }
}

/// A line of code for people.
pub(super) fn site_name(site: &Site) -> String {
    match site {
        Site::Own(place) | Site::Library(place) => printable(&place.frame().to_string()),
        Site::MadeAt(place) => format!("goroutines made at {}", printable(&origin_name(&place.frame()))),
        Site::Unknown => "(unknown: no stack)".to_owned(),
    }
}
