//! A running program twice, side by side, for people: what changed beyond the noise, the largest change first.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{SHOWN, Side, count, program};
use crate::export::printable;
use crate::model::diff::{
    Blocked, BlockedChange, Collections, Compared, GcChange, GcFigure, Place, RunningComparison, Sample,
};
use crate::units::Nanos;

/// What is taken for noise, for the reader who does not know the rule.
const RULE: &str = "each second of the span; beyond the noise is what differs by more than 1 ms, by a quarter of the \
                    larger, and by four\ndeviations of calls that come independently. That the program was asked for \
                    the same in both spans is taken for granted:\nmore load looks like a slower program, but for how \
                    long each call took";

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct RunningDiffText {
    /// Whether to show what is within the noise too, and every list in full.
    pub all: bool,
    /// Whether the reader is a terminal that shows colours.
    pub color: bool,
}

impl RunningDiffText {
    /// Writes the whole comparison.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(
        self,
        sides: [Side<'_>; 2],
        comparison: &RunningComparison,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        for (letter, side) in ["A", "B"].into_iter().zip(sides) {
            self.side(letter, side, out)?;
        }
        writeln!(out, "{RULE}\n")?;
        self.blocked(comparison, out)?;
        self.collector(sides, comparison, out)
    }

    fn style(self, style: Style) -> Style {
        if self.color { style } else { Style::new() }
    }

    fn side(self, letter: &str, side: Side<'_>, out: &mut dyn Write) -> io::Result<()> {
        let bold = self.style(Style::new().bold());
        let warn = self.style(AnsiColor::Red.on_default().bold());
        let recording = side.recording;
        let spans = &recording.spans;
        let first = recording.programs.first().map_or_else(String::new, program);
        let of = if spans.reports == 1 { String::new() } else { format!(" in {} spans", spans.reports) };
        let (file, time) = (printable(side.file), spans.time.for_people());
        writeln!(out, "{bold}{letter}{bold:#}  {file}: {time}{of} of {first}")?;
        for other in recording.programs.iter().skip(1) {
            writeln!(out, "   {warn}and of another program:{warn:#} {}", program(other))?;
        }
        let mut notes = Vec::new();
        if spans.incomplete > 0 {
            notes.push(format!(
                "something was lost or not seen in {} of {}",
                spans.incomplete,
                count(spans.reports, "span")
            ));
        }
        if recording.cut > 0 {
            let cut = count(recording.cut, "report");
            notes.push(format!("{cut} without an end left out: the file was cut short"));
        }
        for note in notes {
            writeln!(out, "   {warn}{note}{warn:#}")?;
        }
        Ok(())
    }

    fn blocked(self, comparison: &RunningComparison, out: &mut dyn Write) -> io::Result<()> {
        let is_all = |change: &&BlockedChange| change.what == Blocked::All;
        let is_cause = |change: &&BlockedChange| matches!(change.what, Blocked::Cause(_));
        let is_site = |change: &&BlockedChange| matches!(change.what, Blocked::Site(_));
        let is_shown = |change: &&BlockedChange| self.all || is_beyond_noise(change);
        let blocked = &comparison.blocked;
        let sites: Vec<&BlockedChange> = blocked.iter().filter(is_site).filter(is_shown).collect();
        let most = if self.all { sites.len() } else { SHOWN };
        let rows = blocked.iter().filter(is_all).chain(blocked.iter().filter(is_cause).filter(is_shown));
        let rows: Vec<&BlockedChange> = rows.chain(sites.iter().copied().take(most)).collect();
        self.head("blocked", out)?;
        for change in rows {
            let note = if is_beyond_noise(change) { words(change) } else { "within the noise".to_owned() };
            self.row(&change.time, time, &format!("{}  {note}", name(&change.what)), out)?;
        }
        let dim = self.style(Style::new().dimmed());
        if sites.len() > most {
            writeln!(out, "  and {} more places; --all shows them", sites.len() - most)?;
        }
        let all: Vec<&BlockedChange> = blocked.iter().filter(is_site).collect();
        let within = all.iter().filter(|change| !is_beyond_noise(change)).count();
        if within == all.len() {
            writeln!(out, "nothing beyond the noise: {} compared", count(within, "place"))
        } else {
            writeln!(out, "{dim}{} within the noise{dim:#}", count(within, "place"))
        }
    }

    fn collector(
        self,
        sides: [Side<'_>; 2],
        comparison: &RunningComparison,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let [a, b] = sides.map(|side| side.recording.spans.gc.as_ref());
        writeln!(out)?;
        if let Some(why) = untold([a, b]).filter(|_| comparison.gc.is_empty()) {
            return writeln!(out, "the garbage collector is not compared: {why}");
        }
        self.head("GC", out)?;
        for GcChange { figure, compared } in &comparison.gc {
            let note = if compared.is_beyond_noise() { "" } else { "  within the noise" };
            let write = if *figure == GcFigure::Cycles { rate } else { time };
            self.row(compared, write, &format!("{}{note}", figure_name(*figure)), out)?;
        }
        let [a, b] = [a, b].map(|side| side.map_or(0, |gc| gc.pauses.len()));
        let dim = self.style(Style::new().dimmed());
        writeln!(
            out,
            "{dim}{a} pauses of A, {b} of B; quantiles need 15 (p50), 117 (p90) or 1264 (p99){dim:#}"
        )?;
        if untold_cycles(sides) > 0 {
            writeln!(
                out,
                "{dim}pauses and assists in all are not compared: some cycles are in the sums alone{dim:#}"
            )?;
        }
        Ok(())
    }

    fn head(self, what: &str, out: &mut dyn Write) -> io::Result<()> {
        let dim = self.style(Style::new().dimmed());
        let [a, b, change, noise] = ["A", "B", "change", "noise"];
        writeln!(out, "{dim}  {a:>9}  {b:>9}  {change:>10}  {:>8}  {noise:>10}  {what}{dim:#}", "")
    }

    fn row(
        self,
        compared: &Compared,
        write: fn(f64) -> String,
        name: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let difference = compared.difference();
        let style = self.style(match (compared.is_beyond_noise(), difference > 0.0) {
            (false, _) => Style::new().dimmed(),
            (true, true) => AnsiColor::Yellow.on_default(),
            (true, false) => AnsiColor::Green.on_default(),
        });
        let sign = if difference < 0.0 { "-" } else { "+" };
        let change = format!("{sign}{}", write(difference.abs()));
        let percent = if compared.a > 0.0 {
            format!("{:+.1}%", difference * 100.0 / compared.a)
        } else {
            String::new()
        };
        let noise = format!("±{}", write(compared.noise));
        let (a, b) = (write(compared.a), write(compared.b));
        let line =
            format!("  {a:>9}  {b:>9}  {style}{change:>10}  {percent:>8}{style:#}  {noise:>10}  {name}");
        writeln!(out, "{}", line.trim_end())
    }
}

/// In time, or in how long each one was.
fn is_beyond_noise(change: &BlockedChange) -> bool {
    change.time.is_beyond_noise() || change.each.is_some_and(|each| each.is_beyond_noise())
}

fn name(what: &Blocked) -> String {
    match what {
        Blocked::All => "in all".to_owned(),
        Blocked::Cause(cause) => printable(cause),
        Blocked::Site(Place { cause, function, file, line }) => {
            let place = match (function.is_empty(), file.is_empty()) {
                (true, _) => "(place not known)".to_owned(),
                (false, true) => function.clone(),
                (false, false) => {
                    format!("{function} {}:{line}", file.rsplit('/').next().unwrap_or(file))
                }
            };
            printable(&format!("{cause} at {place}"))
        }
    }
}

/// How many there were, and how long each was.
fn words(change: &BlockedChange) -> String {
    let mark = |is_noise: bool| if is_noise { " (within the noise)" } else { "" };
    let each = |sample: &Sample| if sample.count == 0 { "-".to_owned() } else { time(sample.each()) };
    let is_noise = |compared: &Compared| !compared.is_beyond_noise();
    format!(
        "calls {} -> {}{}, each {} -> {}{}",
        rate(change.count.a),
        rate(change.count.b),
        mark(is_noise(&change.count)),
        each(&change.a),
        each(&change.b),
        mark(change.each.as_ref().is_some_and(is_noise))
    )
}

fn figure_name(figure: GcFigure) -> String {
    match figure {
        GcFigure::Cycles => "cycles".to_owned(),
        GcFigure::Pause => "the world stopped for them".to_owned(),
        GcFigure::Assist => "CPU time of goroutines that were made to help".to_owned(),
        GcFigure::Quantile(500) => "the median of their pauses, each".to_owned(),
        GcFigure::Quantile(thousandths) => {
            format!("{} % of their pauses are no longer, each", thousandths / 10)
        }
    }
}

/// Why the collector is not compared.
fn untold(sides: [Option<&Collections>; 2]) -> Option<String> {
    let of = |letter: &str, side: Option<&Collections>| match side {
        None => Some(format!("{letter} tells nothing of it")),
        Some(gc) if gc.refused > 0 && gc.time == Nanos(0) => {
            Some(format!("what was read of it in {letter} cannot be believed"))
        }
        Some(_) => None,
    };
    of("A", sides[0]).or(of("B", sides[1]))
}

fn untold_cycles(sides: [Side<'_>; 2]) -> u64 {
    let untold = sides.map(|side| side.recording.spans.gc.as_ref().map_or(0, |gc| gc.untold));
    untold[0].saturating_add(untold[1])
}

/// Nanoseconds; more than there are become the most.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is never negative"
)]
fn time(nanos: f64) -> String {
    Nanos(nanos.round() as u64).for_people()
}

fn rate(per_second: f64) -> String {
    format!("{per_second:.1}/s")
}

#[cfg(test)]
#[path = "running_tests.rs"]
mod tests;
