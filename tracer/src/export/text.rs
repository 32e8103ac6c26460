//! For people: where the time went, the slowest first, and what to think of the data.

mod inits;
pub(super) mod phases;
pub(super) mod shares;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::account::write_account;
use super::subject::subject_line;
use super::{BlockingText, Export, printable};
use crate::model::blocking::BlockingReport;
use crate::model::{Ending, MainReached, Report, findings};
use shares::share;

/// How many findings are shown.
const FINDINGS: usize = 8;

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The order of the table of inits.
    pub order: InitOrder,
    /// How many inits to show; zero for all.
    pub inits: usize,
    /// How many rows the tables of a running program have; zero for all.
    pub rows: usize,
    /// Whether the reader is a terminal that shows colours.
    pub color: bool,
}

/// The order of the table of inits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitOrder {
    /// The slowest first.
    Slowest,
    /// As they ran.
    Run,
}

impl InitOrder {
    /// The heading of a table that shows so many inits of so many.
    pub(super) fn heading(self, shown: usize, total: usize) -> String {
        match (self, shown < total) {
            (Self::Slowest, true) => format!("the slowest {shown} of {total} package inits"),
            (Self::Slowest, false) => format!("{total} package inits, the slowest first"),
            (Self::Run, true) => format!("the first {shown} of {total} package inits"),
            (Self::Run, false) => format!("{total} package inits in order"),
        }
    }
}

impl Export for Text {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        self.heading(report, out)?;
        self.findings(report, out)?;
        self.phases(report, out)?;
        if let Some(gc) = &report.gc {
            gc.write_startup(self.color, out)?;
        }
        self.inits(report, out)?;
        self.account(report, out)
    }

    fn running(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        BlockingText { rows: self.rows, color: self.color }.write(report, out)
    }
}

impl Text {
    fn style(self, style: Style) -> Style {
        if self.color { style } else { Style::new() }
    }

    /// Whose start it is, and how it went.
    ///
    /// # Errors
    /// Only those of the writer.
    pub(super) fn heading(self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let bold = self.style(Style::new().bold());
        let dim = self.style(Style::new().dimmed());
        let subject = &report.subject;
        let parent = subject.parent.map_or(String::new(), |parent| format!(" of {parent}"));
        let which = format!("pid {}{parent}", subject.pid);
        writeln!(out, "{}", subject_line(subject, &which, [bold, dim]))?;
        let timeline = &report.timeline;
        let ending = match &report.ending {
            Ending::Running => "still running".to_owned(),
            Ending::Exited(code) => format!("exited with {code}"),
            Ending::Killed(signal) => format!("killed by {}", signal_name(*signal)),
            Ending::Gone => "ended".to_owned(),
            Ending::Replaced(by) => format!("became {}, which is not traced", printable(by)),
        };
        let after = timeline
            .ended
            .map_or(String::new(), |ended| format!(" after {}", ended.since(timeline.begin).for_people()));
        let main = match report.main_reached() {
            MainReached::After(to_main) => format!("main.main after {bold}{}{bold:#}", to_main.for_people()),
            MainReached::No => format!("{bold}main.main was not reached{bold:#}"),
            MainReached::RecordLost => "main.main was reached, but when was lost".to_owned(),
            MainReached::NotProbed => "whether main.main was reached is unknown".to_owned(),
            MainReached::NothingSeen => {
                format!(
                    "{bold}no Go code was seen to run{bold:#}: it ended before, or its memory could not be probed"
                )
            }
        };
        let ready = timeline
            .to_ready()
            .map_or(String::new(), |ready| format!(", ready after {bold}{}{bold:#}", ready.for_people()));
        let begin = if subject.watched { ", from the end of its execve on" } else { "" };
        writeln!(out, "{main}{ready}; {ending}{after}{begin}")?;
        if let Some(condition) = &report.awaited {
            writeln!(out, "{bold}not ready:{bold:#} {} did not come", printable(condition))?;
        }
        writeln!(out)
    }

    fn findings(self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let findings = findings(&report.timeline);
        if findings.is_empty() {
            return Ok(());
        }
        let bold = self.style(Style::new().bold());
        let dim = self.style(Style::new().dimmed());
        let warn = self.style(AnsiColor::Yellow.on_default());
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

    fn account(self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let warn = self.style(AnsiColor::Red.on_default().bold());
        let dim = self.style(Style::new().dimmed());
        let totals = report.totals();
        write_account("", &totals, &report.losses, self.color, out)?;
        if let Some(overhead) = report.overhead {
            let of = match report.timeline.to_main {
                Some(to_main) => format!(", {} of the time to main.main", share(overhead.0, to_main.0)),
                None => String::new(),
            };
            writeln!(out, "{dim}gotrace itself cost the start about {}{of}{dim:#}", overhead.for_people())?;
        }
        if totals.dropped > 0 {
            writeln!(out, "{warn}a larger ring loses less: --ring-size{warn:#}")?;
        }
        for missing in &report.missing {
            let warn = if missing.is_detail { dim } else { warn };
            writeln!(
                out,
                "{warn}not probed:{warn:#} {} ({}): {}",
                printable(&missing.probe),
                printable(&missing.function),
                printable(&missing.reason)
            )?;
        }
        for probe in &report.timeline.unmarked {
            writeln!(
                out,
                "{warn}no mark:{warn:#} {probe} was passed unseen; the phases beside it are left out"
            )?;
        }
        Ok(())
    }
}

/// The signals that end programs, as signal(7) names them.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}
