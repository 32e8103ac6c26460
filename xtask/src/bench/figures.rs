//! A row of measurements, and the few figures that describe it.

use serde::{Deserialize, Serialize};

/// One figure a run, in whatever unit the table's title names.
#[derive(Default)]
pub(crate) struct Figures(Vec<f64>);

/// What was measured in one run, by turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Table {
    /// The unit, and of what.
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    runs: usize,
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
    /// The distance between the quarters: half of the runs lie within it.
    pub(super) spread: f64,
    /// Median to median of the line that the others are compared with; none of that one.
    pub(super) ratio: Option<f64>,
}

impl Table {
    /// One without lines, whose head is printed.
    pub(super) fn new(title: &str) -> Self {
        println!(
            "\n{title:<48} {:>4} {:>9} {:>9} {:>9} {:>9}  {:>9} {:>9}",
            "runs", "min", "median", "max", "spread", "min ratio", "med ratio"
        );
        Self { title: title.to_owned(), rows: Vec::new() }
    }

    /// Adds and prints a line, with the ratios to another; nothing when nothing was measured.
    pub(super) fn row(&mut self, name: &str, figures: &Figures, base: Option<&Figures>) {
        if figures.0.is_empty() {
            return;
        }
        let (min, median, max, spread) = (figures.min(), figures.median(), figures.max(), figures.spread());
        let runs = figures.0.len();
        print!("{name:<48} {runs:>4} {min:>9.3} {median:>9.3} {max:>9.3} {spread:>9.3}");
        let ratio = base.map(|base| median / base.median());
        match base {
            Some(base) => println!("  {:>9.3} {:>9.3}", min / base.min(), median / base.median()),
            None => println!(),
        }
        // More digits than were measured would only be noise in a file that is committed.
        let [min, median, max, spread] = [min, median, max, spread].map(thousandths);
        self.rows.push(Row {
            name: name.to_owned(),
            runs,
            min,
            median,
            max,
            spread,
            ratio: ratio.map(thousandths),
        });
    }
}

fn thousandths(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

impl Figures {
    /// As milliseconds.
    pub(crate) fn push(&mut self, nanoseconds: i128) {
        #[expect(clippy::cast_precision_loss, reason = "durations of seconds, printed with three digits")]
        self.0.push(nanoseconds as f64 / 1e6);
    }

    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// The distance between the quarters: half of the runs lie within it.
    fn spread(&self) -> f64 {
        self.quantile(0.75) - self.quantile(0.25)
    }

    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index of a short list"
        )]
        let index = (last as f64 * part).round() as usize;
        sorted[index]
    }
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn quantiles_are_of_the_sorted_row() {
        let mut figures = Figures::default();
        for nanoseconds in [5_000_000, 1_000_000, 3_000_000, 2_000_000, 4_000_000] {
            figures.push(nanoseconds);
        }
        assert_eq!((figures.min(), figures.median(), figures.max()), (1.0, 3.0, 5.0));
        assert_eq!(figures.spread(), 2.0);
        assert!(Figures::default().median().is_nan());
    }
}
