//! Several runs of one command, for people: the median and the spread of every figure.

use std::cmp::Reverse;
use std::io::{self, Write};

use anstyle::Style;

use super::account::write_account;
use super::printable;
use super::subject::subject_line;
use super::text::InitOrder;
use crate::model::series::{Figure, Samples};
use crate::model::{Repeats, Spread};
use crate::units::Nanos;

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
        let runs = if series.runs() == 1 { "1 run".to_owned() } else { format!("{} runs", series.runs()) };
        writeln!(out, "{}\n", subject_line(subject, &runs, [bold, dim]))?;

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
        let what = match total {
            0 => "no package init was seen".to_owned(),
            total => self.order.heading(inits.len(), total),
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
        let style = write_account("in all runs ", &repeats.totals, &repeats.losses, self.color, out)?;
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
