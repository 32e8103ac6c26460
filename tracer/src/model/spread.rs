//! What repeated measurements of one figure say: the median, and how far they lie apart.

use crate::units::Nanos;

/// The order statistics of some measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How many measurements.
    pub runs: usize,
    /// The least.
    pub min: Nanos,
    /// A quarter are below.
    pub q1: Nanos,
    /// Half are below.
    pub median: Nanos,
    /// Three quarters are below.
    pub q3: Nanos,
    /// The greatest.
    pub max: Nanos,
}

impl Spread {
    /// Of these measurements; none when there are none.
    #[must_use]
    pub fn of(samples: &[Nanos]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let [q1, median, q3] = [1, 2, 3].map(|quarter| quartile(&sorted, quarter));
        Some(Self { runs: sorted.len(), min, q1, median, q3, max })
    }

    /// Between the least and the greatest.
    #[must_use]
    pub fn range(&self) -> Nanos {
        self.max.since(self.min)
    }

    /// Between the quartiles: where the middle half lies.
    #[must_use]
    pub fn quartile_range(&self) -> Nanos {
        self.q3.since(self.q1)
    }
}

/// Interpolated between the two nearest measurements (Hyndman and Fan's definition 7, the usual one).
fn quartile(sorted: &[Nanos], quarter: usize) -> Nanos {
    let place = (sorted.len() - 1) * quarter;
    let low = sorted[place / 4];
    let high = sorted[(place / 4 + 1).min(sorted.len() - 1)];
    let step = u128::from(high.since(low).0) * (place % 4) as u128 / 4;
    // Below `high`, which fits.
    Nanos(low.0 + u64::try_from(step).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spread(samples: &[u64]) -> Spread {
        let samples: Vec<Nanos> = samples.iter().copied().map(Nanos).collect();
        Spread::of(&samples).unwrap()
    }

    #[test]
    fn quartiles_are_as_r_and_numpy_have_them() {
        let of_five = spread(&[50, 10, 40, 20, 30]);
        assert_eq!([of_five.q1.0, of_five.median.0, of_five.q3.0], [20, 30, 40]);
        let of_four = spread(&[4, 8, 16, 32]);
        assert_eq!([of_four.q1.0, of_four.median.0, of_four.q3.0], [7, 12, 20]);
        assert_eq!((of_four.min.0, of_four.max.0, of_four.runs), (4, 32, 4));
        let of_one = spread(&[7]);
        assert_eq!([of_one.q1.0, of_one.median.0, of_one.q3.0, of_one.range().0], [7, 7, 7, 0]);
        assert_eq!(Spread::of(&[]), None);
    }

    proptest! {
        #[test]
        fn they_are_in_order_whatever_the_measurements(
            samples in prop::collection::vec(any::<u64>(), 1..40),
        ) {
            let found = spread(&samples);
            let all = [found.min, found.q1, found.median, found.q3, found.max];
            prop_assert!(all.is_sorted(), "{all:?}");
        }
    }
}
