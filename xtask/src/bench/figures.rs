//! A row of measurements, and the few figures that describe it.

/// Milliseconds, one a run.
#[derive(Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn push(&mut self, nanoseconds: i128) {
        #[expect(clippy::cast_precision_loss, reason = "durations of seconds, printed with three digits")]
        self.0.push(nanoseconds as f64 / 1e6);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// The distance between the quarters: half of the runs lie within it.
    pub(crate) fn spread(&self) -> f64 {
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
