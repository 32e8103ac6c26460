//! For people: where the time went, the slowest first, and what to think of the data.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{Export, printable};
use crate::model::{
    Cause, Counts, Ending, Init, MainReached, Parts, Phase, PhaseName, Report, TimedFunction, findings,
};
use crate::units::Nanos;

/// How wide a phase's bar is when the phase is all there is, in characters.
const PHASE_BAR: usize = 28;

/// How many findings are shown.
const FINDINGS: usize = 8;

/// From this much on an init's functions are shown by themselves.
const FUNCTIONS_FROM: Nanos = Nanos(1_000_000);

/// A part of the time is shown from this much on, and from this share of the whole on.
const PART: Nanos = Nanos(20_000);
const PART_SHARE: u64 = 20;

/// How wide the slowest init's bar is.
const INIT_BAR: usize = 12;

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The order of the table of inits.
    pub order: InitOrder,
    /// How many inits to show; zero for all.
    pub inits: usize,
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

impl Export for Text {
    fn write(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        self.heading(report, out)?;
        self.findings(report, out)?;
        self.phases(report, out)?;
        self.inits(report, out)?;
        self.account(report, out)
    }
}

impl Text {
    fn style(self, style: Style) -> Style {
        if self.color { style } else { Style::new() }
    }

    fn heading(self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let bold = self.style(Style::new().bold());
        let dim = self.style(Style::new().dimmed());
        let subject = &report.subject;
        let name = subject.exe.file_name().unwrap_or(subject.exe.as_os_str()).to_string_lossy();
        let module =
            subject.module.as_deref().map_or(String::new(), |module| format!("{}, ", printable(module)));
        let parent = subject.parent.map_or(String::new(), |parent| format!(" of {parent}"));
        writeln!(
            out,
            "{bold}{}{bold:#}  {dim}{module}{}, pid {}{parent}, Linux {}{dim:#}",
            printable(&name),
            printable(&subject.go_version),
            subject.pid,
            subject.kernel,
        )?;
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

    fn phases(self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let timeline = &report.timeline;
        let before_main = |phase: &&Phase| phase.name != PhaseName::Main;
        let whole: u64 = timeline.phases.iter().filter(before_main).map(|phase| phase.duration.0).sum();
        let longest = timeline.phases.iter().filter(before_main).map(|phase| phase.duration.0).max();
        let dim = self.style(Style::new().dimmed());
        for phase in &timeline.phases {
            let is_main = phase.name == PhaseName::Main;
            let mut label = label(phase.name, report.subject.linking.interpreter.is_some()).to_owned();
            if !phase.done {
                label.push_str(if is_main { " (so far)" } else { " (not over)" });
            }
            let at = phase.start.since(timeline.begin).for_people();
            write!(out, "  {label:<28} {dim}at {at:>9}{dim:#}  {:>9}", phase.duration.for_people())?;
            if is_main {
                writeln!(out)?;
                continue;
            }
            let style = self.style(if Some(phase.duration.0) == longest {
                AnsiColor::Yellow.on_default()
            } else {
                AnsiColor::Cyan.on_default()
            });
            let share = share(phase.duration.0, whole);
            let bar = bar(phase.duration.0, whole, PHASE_BAR);
            let gap = if bar.is_empty() { "" } else { "  " };
            let parts = parts(phase.parts.as_ref(), phase.duration);
            let gap_parts = if parts.is_empty() { "" } else { "  " };
            writeln!(out, "  {share:>6}{gap}{style}{bar}{style:#}{gap_parts}{dim}{parts}{dim:#}")?;
            for step in &phase.steps {
                let at = step.start.since(timeline.begin).for_people();
                let duration = step.duration.for_people();
                writeln!(out, "  {dim}  of it {:<20} at {at:>9}  {duration:>9}{dim:#}", step.name)?;
            }
        }
        if let Some(slowest) = timeline.libraries.iter().max_by_key(|library| library.duration) {
            let name = slowest.path.rsplit('/').next().unwrap_or(&slowest.path);
            writeln!(
                out,
                "  {dim}libraries mapped before main.main: {}, the slowest {} in {}{dim:#}",
                timeline.libraries.len(),
                printable(name),
                slowest.duration.for_people()
            )?;
        }
        if let Some(counts) = &timeline.at_main {
            let ps = counts.ps.map_or(String::new(), |ps| format!("{ps} Ps, "));
            let Counts { threads, goroutines, .. } = counts;
            writeln!(
                out,
                "  {dim}when main.main began: {threads} threads, {ps}{goroutines} goroutines{dim:#}"
            )?;
        }
        writeln!(out)
    }

    fn inits(self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let timeline = &report.timeline;
        if timeline.inits.is_empty() {
            return writeln!(out, "no package init was seen\n");
        }
        let bold = self.style(Style::new().bold());
        let dim = self.style(Style::new().dimmed());
        let sum: u64 = timeline.inits.iter().map(|init| init.wall.0).sum();
        let mut rows: Vec<(usize, &Init)> = timeline.inits.iter().enumerate().collect();
        if self.order == InitOrder::Slowest {
            rows.sort_by_key(|(seq, init)| (std::cmp::Reverse(init.wall), *seq));
        }
        let total = rows.len();
        if self.inits != 0 {
            rows.truncate(self.inits);
        }
        let what = match self.order {
            InitOrder::Slowest if rows.len() < total => {
                format!("the slowest {} of {total} package inits", rows.len())
            }
            InitOrder::Slowest => format!("{total} package inits, the slowest first"),
            InitOrder::Run if rows.len() < total => {
                format!("the first {} of {total} package inits", rows.len())
            }
            InitOrder::Run => format!("{total} package inits in order"),
        };
        writeln!(out, "{bold}{what}{bold:#}, {} in all", Nanos(sum).for_people())?;
        let widest = rows.iter().map(|(_, init)| init.wall.0).max().unwrap_or(0);
        for (seq, init) in rows {
            let style = self.style(if share_of(init.wall.0, sum) >= 0.1 {
                AnsiColor::Yellow.on_default()
            } else {
                AnsiColor::Cyan.on_default()
            });
            let at = init.start.since(timeline.begin).for_people();
            let unfinished = if init.done { "" } else { "  (not over)" };
            let parts = parts(init.parts.as_ref(), init.wall);
            let gap = if parts.is_empty() { "" } else { "  " };
            let heap = init.heap.map_or_else(String::new, |heap| format!("  {heap}"));
            writeln!(
                out,
                "  {:>9}  {:>6}  {style}{:<INIT_BAR$}{style:#}  {dim}at {at:>9}  #{seq:<4}{dim:#} {}{unfinished}{gap}{dim}{parts}{heap}{dim:#}",
                init.wall.for_people(),
                share(init.wall.0, sum),
                bar(init.wall.0, widest, INIT_BAR),
                printable(&init.package()),
            )?;
            if init.wall >= FUNCTIONS_FROM {
                self.functions(init, out)?;
            }
        }
        writeln!(out)
    }

    /// Which of its functions took an init's time, when there is a choice.
    fn functions(self, init: &Init, out: &mut dyn Write) -> io::Result<()> {
        let dim = self.style(Style::new().dimmed());
        if init.functions.len() < 2 {
            return Ok(());
        }
        let large =
            |timed: &&TimedFunction| timed.wall.is_some_and(|wall| wall.0 >= init.wall.0 / PART_SHARE);
        for TimedFunction { function, wall, .. } in init.functions.iter().filter(large) {
            let wall = wall.map_or(String::new(), Nanos::for_people);
            let begin = function.begin().to_string();
            writeln!(out, "  {dim}{wall:>9}  of it in {}{dim:#}", printable(&begin))?;
        }
        Ok(())
    }

    fn account(self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let warn = self.style(AnsiColor::Red.on_default().bold());
        let dim = self.style(Style::new().dimmed());
        let totals = report.totals();
        let clean = totals.dropped + totals.undecodable + totals.unresolved == 0;
        let style = if clean { dim } else { warn };
        let verdict = if clean { "" } else { "  INCOMPLETE: times beside a gap may be wrong" };
        writeln!(
            out,
            "{style}{} probe hits, {} lost, {} undecodable, {} unresolved{verdict}{style:#}",
            totals.hits, totals.dropped, totals.undecodable, totals.unresolved
        )?;
        let by_probe: Vec<String> = report
            .losses
            .iter()
            .map(|loss| format!("{} {}/{}", loss.probe.name(), loss.dropped, loss.hits))
            .collect();
        writeln!(out, "{style}lost of hits by probe: {}{style:#}", by_probe.join(", "))?;
        if totals.dropped > 0 {
            writeln!(out, "{warn}a larger ring loses less: --ring-size{warn:#}")?;
        }
        for missing in &report.missing {
            let warn = if missing.is_detail { dim } else { warn };
            writeln!(
                out,
                "{warn}not probed:{warn:#} {} ({}): {}",
                missing.probe,
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

fn label(name: PhaseName, dynamic: bool) -> &'static str {
    match name {
        PhaseName::Exec => "exec",
        PhaseName::DynamicLink if dynamic => "dynamic linking",
        PhaseName::DynamicLink => "to the first instruction",
        PhaseName::RuntimeBootstrap => "runtime bootstrap",
        PhaseName::RuntimeInit => "runtime init",
        PhaseName::PackageInit => "package init",
        PhaseName::Main => "main.main",
    }
}

/// What kept the thread from computing, the largest first.
fn parts(parts: Option<&Parts>, whole: Nanos) -> String {
    let Some(parts) = parts else { return String::new() };
    let mut shown: Vec<(Nanos, String)> =
        Cause::ALL.map(|cause| (parts.blocked_by(cause), cause.name().replace('_', " "))).into();
    shown.push((parts.runnable, "without a CPU".to_owned()));
    shown.push((parts.remainder, "unexplained".to_owned()));
    shown.retain(|(time, _)| *time >= PART && time.0 >= whole.0 / PART_SHARE);
    shown.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let shown: Vec<String> =
        shown.into_iter().map(|(time, name)| format!("{name} {}", time.for_people())).collect();
    shown.join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
fn share_of(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn share(part: u64, whole: u64) -> String {
    format!("{:.1}%", share_of(part, whole) * 100.0)
}

/// A bar in eighths of a character.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 8 * width")]
fn bar(part: u64, whole: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share_of(part, whole).clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_the_share_of_the_whole() {
        assert_eq!(bar(1, 1, 8), "████████");
        assert_eq!(bar(1, 2, 8), "████");
        assert_eq!(bar(0, 5, 8), "");
        assert_eq!(bar(5, 0, 8), "");
        assert_eq!(bar(1, 64, 8), "▏");
    }
}
