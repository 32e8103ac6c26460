//! A row of measurements, and the few figures that describe it.

/// One figure a run, in whatever unit the table's title names.
#[derive(Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    /// As milliseconds.
    pub(crate) fn push(&mut self, nanoseconds: i128) {
        #[expect(clippy::cast_precision_loss, reason = "durations of seconds, printed with three digits")]
        self.0.push(nanoseconds as f64 / 1e6);
    }

    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// The columns of what follows.
    pub(crate) fn title(unit: &str) {
        println!(
            "\n{unit:<48} {:>4} {:>9} {:>9} {:>9} {:>9}  {:>9} {:>9}",
            "runs", "min", "median", "max", "spread", "min ratio", "med ratio"
        );
    }

    /// One line of a table, with the ratios to another; nothing when nothing was measured.
    pub(crate) fn row(&self, name: &str, base: Option<&Self>) {
        if self.0.is_empty() {
            return;
        }
        let (min, median) = (self.min(), self.median());
        print!(
            "{name:<48} {:>4} {min:>9.3} {median:>9.3} {:>9.3} {:>9.3}",
            self.0.len(),
            self.max(),
            self.spread()
        );
        match base {
            Some(base) => println!("  {:>9.3} {:>9.3}", min / base.min(), median / base.median()),
            None => println!(),
        }
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
