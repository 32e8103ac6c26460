//! Several runs of one command, for people: the median and the spread of every figure.

use crate::units::Nanos;
use std::cmp::Reverse;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::printable;
use super::text::InitOrder;
use crate::model::series::{Figure, Samples};
use crate::model::{Repeats, Spread};

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct RepeatsText {
    /// The order of the table of inits; the slowest are so by their medians.
    pub order: InitOrder,
    /// How many inits to show; zero for all.
    pub inits: usize,
    /// Whether the reader is a terminal that shows colours.
    pub color: bool,
}

impl RepeatsText {
    /// Writes the whole report.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(self, repeats: &Repeats, out: &mut dyn Write) -> io::Result<()> {
        let bold = self.style(Style::new().bold());
        let dim = self.style(Style::new().dimmed());
        let (subject, series) = (&repeats.subject, &repeats.series);
        let name = subject.exe.file_name().unwrap_or(subject.exe.as_os_str()).to_string_lossy();
        let module =
            subject.module.as_deref().map_or(String::new(), |module| format!("{}, ", printable(module)));
        let go = printable(&subject.go_version);
        let runs = if series.runs() == 1 { "1 run".to_owned() } else { format!("{} runs", series.runs()) };
        let kernel = &subject.kernel;
        writeln!(
            out,
            "{bold}{}{bold:#}  {dim}{module}{go}, {runs}, Linux {kernel}{dim:#}\n",
            printable(&name)
        )?;

        writeln!(out, "{dim}{}{dim:#}", columns())?;
        let figures = || series.figures();
        for (figure, samples) in figures().filter(|(figure, _)| figure.kind() != "init") {
            self.row(figure, samples, series.runs(), out)?;
        }
        writeln!(out)?;

        let mut inits: Vec<_> = figures().filter(|(figure, _)| figure.kind() == "init").collect();
        let total = inits.len();
        if self.order == InitOrder::Slowest {
            let median = |samples: &Samples| samples.spread().map(|spread| spread.median);
            inits.sort_by_cached_key(|(_, samples)| Reverse(median(samples)));
        }
        if self.inits != 0 {
            inits.truncate(self.inits);
        }
        let what = match (self.order, inits.len() < total) {
            (_, _) if total == 0 => "no package init was seen".to_owned(),
            (InitOrder::Slowest, true) => format!("the slowest {} of {total} package inits", inits.len()),
            (InitOrder::Slowest, false) => format!("{total} package inits, the slowest first"),
            (InitOrder::Run, true) => format!("the first {} of {total} package inits", inits.len()),
            (InitOrder::Run, false) => format!("{total} package inits in order"),
        };
        writeln!(out, "{bold}{what}{bold:#}")?;
        for (figure, samples) in inits {
            self.row(figure, samples, series.runs(), out)?;
        }
        writeln!(out)?;
        self.account(repeats, out)
    }

    fn style(self, style: Style) -> Style {
        if self.color { style } else { Style::new() }
    }

    fn row(self, figure: &Figure, samples: &Samples, runs: usize, out: &mut dyn Write) -> io::Result<()> {
        let bold = self.style(Style::new().bold());
        let name = printable(figure.to_string().strip_prefix("init:").unwrap_or(figure.name()));
        let measured = samples.walls.len();
        let unfinished = match samples.unfinished {
            0 => String::new(),
            unfinished => format!(", not over in {unfinished}"),
        };
        let count = if measured == runs {
            String::new()
        } else {
            format!("  ({measured} of {runs} runs{unfinished})")
        };
        let Some(Spread { min, q1, median, q3, max, .. }) = samples.spread() else {
            return writeln!(out, "  {:>54}  {name}{count}", "");
        };
        let [median, q1, q3, min, max] = [median, q1, q3, min, max].map(Nanos::for_people);
        writeln!(out, "  {bold}{median:>9}{bold:#}  {q1:>9}  {q3:>9}  {min:>9}  {max:>9}  {name}{count}")
    }

    fn account(self, repeats: &Repeats, out: &mut dyn Write) -> io::Result<()> {
        let totals = &repeats.totals;
        let clean = totals.dropped + totals.undecodable + totals.unresolved == 0;
        let style =
            self.style(if clean { Style::new().dimmed() } else { AnsiColor::Red.on_default().bold() });
        let verdict = if clean { "" } else { "  INCOMPLETE: times beside a gap may be wrong" };
        writeln!(
            out,
            "{style}in all runs {} probe hits, {} lost, {} undecodable, {} unresolved{verdict}{style:#}",
            totals.hits, totals.dropped, totals.undecodable, totals.unresolved
        )?;
        let by_probe: Vec<String> = repeats
            .losses
            .iter()
            .map(|loss| format!("{} {}/{}", loss.probe.name(), loss.dropped, loss.hits))
            .collect();
        writeln!(out, "{style}lost of hits by probe: {}{style:#}", by_probe.join(", "))?;
        match repeats.series.incomplete() {
            0 => Ok(()),
            incomplete => writeln!(
                out,
                "{style}incomplete: {incomplete} of {} runs; the NDJSON report says what each lacks{style:#}",
                repeats.series.runs()
            ),
        }
    }
}

fn columns() -> String {
    let [median, q1, q3, min, max] = ["median", "q1", "q3", "min", "max"];
    format!("  {median:>9}  {q1:>9}  {q3:>9}  {min:>9}  {max:>9}")
}
