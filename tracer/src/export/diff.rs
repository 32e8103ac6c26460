//! Two programs' startups side by side, for people: what changed beyond the noise, the largest change first.

mod flame;
mod running;
pub(super) mod running_ndjson;

use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};

pub use self::flame::DiffFlame;
pub use self::running::RunningDiffText;
pub use self::running_ndjson::RunningDiffNdjson;
use super::printable;
use crate::model::diff::{Change, Comparison, FLOOR, Measured, QUARTILE_RUNS, RANGE_RUNS, Verdict};
use crate::model::series::Figure;
use crate::model::{Program, Recording};
use crate::units::Nanos;

/// How many entries of a list are shown, and how many parts of a change.
const SHOWN: usize = 10;
const SHOWN_PARTS: usize = 3;

/// How wide names make their column at most, in characters.
const NAME_WIDTH: usize = 44;

/// One side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The file's name, as the user gave it.
    pub file: &'a str,
    /// What it holds.
    pub recording: &'a Recording,
}

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct DiffText {
    /// Whether to show what is within the noise too, and every list in full.
    pub all: bool,
    /// Whether the reader is a terminal that shows colours.
    pub color: bool,
}

impl DiffText {
    /// Writes the whole comparison.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(self, sides: [Side<'_>; 2], comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
        for (letter, side) in ["A", "B"].into_iter().zip(sides) {
            self.side(letter, side, out)?;
        }
        let runs = sides.map(|side| side.recording.series.runs());
        writeln!(out, "{}\n", rule(runs[0].min(runs[1])))?;
        self.measured_on_both(comparison, out)?;
        self.came_and_went(comparison, out)?;
        self.moved(comparison, out)
    }

    fn style(self, style: Style) -> Style {
        if self.color { style } else { Style::new() }
    }

    fn side(self, letter: &str, side: Side<'_>, out: &mut dyn Write) -> io::Result<()> {
        let bold = self.style(Style::new().bold());
        let warn = self.style(AnsiColor::Red.on_default().bold());
        let Recording { series, programs, cut, watched, .. } = side.recording;
        let runs = count(series.runs(), "run");
        let program = programs.first().map_or_else(String::new, program);
        writeln!(out, "{bold}{letter}{bold:#}  {}: {runs} of {program}", printable(side.file))?;
        for other in programs.iter().skip(1) {
            writeln!(out, "   {warn}and of another program:{warn:#} {}", self::program(other))?;
        }
        let mut notes = Vec::new();
        let of_runs = |runs| format!("{runs} of {}", count(series.runs(), "run"));
        let reached = series.get(&Figure::ToMain).map_or(0, |samples| samples.walls.len());
        if reached < series.runs() {
            notes.push(format!("main.main was reached, or seen, in {} only", of_runs(reached)));
        }
        if series.incomplete() > 0 {
            let incomplete = of_runs(series.incomplete());
            notes.push(format!("something was lost, left out or unknown in {incomplete}"));
        }
        if series.unresolved() > 0 {
            let unresolved = count(usize::try_from(series.unresolved()).unwrap_or(usize::MAX), "init");
            notes.push(format!("{unresolved} of unknown packages cannot be compared"));
        }
        if *watched > 0 {
            notes.push(format!(
                "to_main counts from the end of execve, without exec, in {}",
                of_runs(*watched)
            ));
        }
        if *cut > 0 {
            notes.push(format!("{} without an end left out: the file was cut short", count(*cut, "run")));
        }
        for note in notes {
            writeln!(out, "   {warn}{note}{warn:#}")?;
        }
        Ok(())
    }

    fn measured_on_both(self, comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
        let dim = self.style(Style::new().dimmed());
        let both: Vec<&Change> =
            comparison.changes.iter().filter(|change| change.difference().is_some()).collect();
        let is_total = |change: &&&Change| change.figure.kind() == "total";
        let is_shown = |change: &&&Change| !is_total(change) && (self.all || change.is_beyond_noise());
        let totals = both.iter().filter(is_total);
        let rows: Vec<&Change> = totals.chain(both.iter().filter(is_shown)).copied().collect();
        let width = rows.iter().map(|change| printable(&change.figure.to_string()).chars().count()).max();
        let width = width.unwrap_or(0).min(NAME_WIDTH);
        if !rows.is_empty() {
            let [a, b, change, noise] = ["A", "B", "change", "noise"];
            writeln!(out, "{dim}  {a:>9}  {b:>9}  {change:>10}  {:>8}  {noise:>10}{dim:#}", "")?;
        }
        for change in rows {
            self.row(change, width, out)?;
        }
        let others = both.iter().filter(|change| !is_total(change));
        let beyond = others.clone().filter(|change| change.is_beyond_noise()).count();
        let within = others.count() - beyond;
        let within = count(within, "phase or init").replace("phase or inits", "phases and inits");
        if beyond == 0 {
            writeln!(out, "nothing beyond the noise: {within} compared")
        } else {
            writeln!(out, "{dim}{within} within the noise{dim:#}")
        }
    }

    fn row(self, change: &Change, width: usize, out: &mut dyn Write) -> io::Result<()> {
        let Verdict::Both { difference, noise, .. } = change.verdict else { return Ok(()) };
        let median = |side: &Measured| side.spread.map_or(Nanos(0), |spread| spread.median);
        let (a, b) = (median(&change.a), median(&change.b));
        let style = self.style(match (change.is_beyond_noise(), difference > 0) {
            (false, _) => Style::new().dimmed(),
            (true, true) => AnsiColor::Yellow.on_default(),
            (true, false) => AnsiColor::Green.on_default(),
        });
        let note = if change.is_beyond_noise() {
            explained_by(change, difference)
        } else {
            "within the noise".to_owned()
        };
        let name = printable(&change.figure.to_string());
        let line = format!(
            "  {:>9}  {:>9}  {style}{:>10}  {:>8}{style:#}  {:>10}  {name:<width$}  {note}",
            a.for_people(),
            b.for_people(),
            signed(difference),
            percent(difference, a),
            format!("±{}", noise.for_people()),
        );
        writeln!(out, "{}", line.trim_end())
    }

    fn came_and_went(self, comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
        for (verdict, what) in [(Verdict::Added, "only in B"), (Verdict::Removed, "only in A")] {
            let found: Vec<(&Change, Nanos)> = comparison
                .changes
                .iter()
                .filter(|change| change.verdict == verdict)
                .filter_map(|change| Some((change, change.a.spread.or(change.b.spread)?.median)))
                .collect();
            let sum = found.iter().filter(|(change, _)| change.figure.kind() == "init");
            let sum = Nanos(sum.fold(0, |sum, (_, median)| sum.saturating_add(median.0)));
            if found.is_empty() {
                continue;
            }
            writeln!(out, "\n{what}: {}, inits {} in all", count(found.len(), "figure"), sum.for_people())?;
            let is_large =
                |(change, median): &&(&Change, Nanos)| *median >= FLOOR || change.figure.kind() != "init";
            let large = found.iter().filter(is_large).count();
            let shown = if self.all { found.len() } else { large.min(SHOWN) };
            // The largest come first.
            for (change, median) in &found[..shown.min(found.len())] {
                writeln!(out, "  {:>9}  {}", median.for_people(), printable(&change.figure.to_string()))?;
            }
            if shown < found.len() {
                writeln!(out, "  and {} more; --all shows them", found.len() - shown)?;
            }
        }
        let unfinished: Vec<&Change> =
            comparison.changes.iter().filter(|change| change.verdict == Verdict::Unfinished).collect();
        if !unfinished.is_empty() {
            writeln!(out, "\nnever over on one side when the trace ended")?;
        }
        for change in unfinished {
            let (a, b) = (change.a.unfinished, change.b.unfinished);
            let name = printable(&change.figure.to_string());
            writeln!(out, "  {name}: in {} of A, in {} of B", count(a, "run"), count(b, "run"))?;
        }
        Ok(())
    }

    fn moved(self, comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
        let moved = &comparison.moved;
        if moved.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nin another order: {}", count(moved.len(), "init"))?;
        let shown = if self.all { moved.len() } else { SHOWN };
        for init in moved.iter().take(shown) {
            writeln!(out, "  #{} -> #{}  {}", init.a, init.b, printable(&init.figure.to_string()))?;
        }
        if moved.len() > shown {
            writeln!(out, "  and {} more; --all shows them", moved.len() - shown)?;
        }
        Ok(())
    }
}

/// What was compared how, for the reader who does not know the rule.
fn rule(runs: usize) -> String {
    match runs {
        QUARTILE_RUNS.. => "medians; beyond the noise is what differs by more than 50 µs and by more than one \
                            and a half times the larger quartile range"
            .to_owned(),
        RANGE_RUNS..QUARTILE_RUNS => {
            "medians; beyond the noise is what differs by more than 50 µs and by more than the larger range"
                .to_owned()
        }
        ..RANGE_RUNS => "too few runs to know the noise, so this is a guess: shown is what differs by more than \
                         1 ms, by more than a quarter\nand by more than the runs of a side among themselves. gotrace run --repeat 10 makes \
                         enough runs"
            .to_owned(),
    }
}

fn program(program: &Program) -> String {
    let Program { exe, go_version, module } = program;
    let name =
        Path::new(exe).file_name().map_or_else(|| exe.clone(), |name| name.to_string_lossy().into_owned());
    let words = [Some(name), module.clone(), Some(go_version.clone())];
    let words: Vec<String> =
        words.into_iter().flatten().filter(|word| !word.is_empty()).map(|word| printable(&word)).collect();
    if words.is_empty() { "an unnamed program".to_owned() } else { words.join(", ") }
}

/// The parts that make a change, largest first, without those that hardly matter.
fn explained_by(change: &Change, difference: i64) -> String {
    let least = (difference.unsigned_abs() / 10).max(FLOOR.0);
    let parts = change.parts.iter().filter(|part| part.difference().unsigned_abs() >= least);
    let parts: Vec<String> =
        parts.take(SHOWN_PARTS).map(|part| format!("{} {}", signed(part.difference()), part.name)).collect();
    parts.join(", ")
}

fn signed(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "+" };
    format!("{sign}{}", Nanos(nanos.unsigned_abs()).for_people())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
fn percent(difference: i64, of: Nanos) -> String {
    if of.0 == 0 { String::new() } else { format!("{:+.1}%", difference as f64 * 100.0 / of.0 as f64) }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
