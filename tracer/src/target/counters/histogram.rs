//! The runtime's histogram of durations (runtime/histogram.go, `timeHistogram`), the same in Go 1.22 to 1.27: each power of
//! two is four buckets of one width.

use super::super::gobin::PausesLayout;

/// How many durations were how long. Some hundred counts, so it is not passed around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeHistogram {
    /// By bucket, from 0 ns on.
    counts: Box<[u64]>,
    /// Durations below 0, which Go counts too.
    underflow: u64,
    /// Those of [`MOST`] nanoseconds and more.
    overflow: u64,
}

/// `timeHistMinBucketBits`: the first power of two is 2^8, and what is below has its four buckets too.
const LEAST_BITS: usize = 9;
/// `timeHistNumSubBuckets`
const PARTS: usize = 4;
/// `1 << (timeHistMaxBucketBits - 1)`: a day and a half.
const MOST: u64 = 1 << 47;

const COUNTS: usize = PausesLayout::COUNTS as usize;

impl TimeHistogram {
    /// From the bytes of one: the counts, and those below and beyond.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
        let words: Vec<u64> = words.collect();
        let (counts, [underflow, overflow]) = words.split_at_checked(COUNTS)? else { return None };
        let histogram = Self { counts: counts.into(), underflow: *underflow, overflow: *overflow };
        // So that no sum of some of them can be too large.
        let sum = words.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
        sum.map(|_| histogram)
    }

    /// The first duration that is in the bucket, in nanoseconds.
    fn lower(bucket: usize) -> u64 {
        let (power, part) = (bucket / PARTS, (bucket % PARTS) as u64);
        // The bucket of what is below 2^8 is as wide as the next.
        match power.checked_sub(1) {
            None => part << (LEAST_BITS - 3),
            Some(power) => (4 + part) << (power + LEAST_BITS - 3),
        }
    }

    /// The buckets from 0 on by their lower ends, in nanoseconds; the last has no upper one.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.counts.iter().enumerate().map(|(bucket, count)| (Self::lower(bucket), *count));
        counts.chain([(MOST, self.overflow)])
    }

    /// The same, and what is below 0 as if it were 0.
    fn every(&self) -> impl Iterator<Item = (u64, u64)> {
        [(0, self.underflow)].into_iter().chain(self.buckets())
    }

    /// How many were below 0.
    #[must_use]
    pub const fn negative(&self) -> u64 {
        self.underflow
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.every().map(|(_, count)| count).sum()
    }

    /// How many were below that, which must be where a bucket begins.
    #[must_use]
    pub fn below(&self, nanoseconds: u64) -> u64 {
        self.every().filter(|(lower, _)| *lower < nanoseconds).map(|(_, count)| count).sum()
    }

    /// The least that all of them together can have been, in nanoseconds: each as long as its bucket's lower end.
    ///
    /// A duration of 256 ns or more is at most a quarter longer than that, one that is shorter 63 ns.
    #[must_use]
    pub fn least(&self) -> u64 {
        self.every().fold(0, |sum: u64, (lower, count)| sum.saturating_add(lower.saturating_mul(count)))
    }

    /// The most.
    pub(super) fn most(&self) -> u64 {
        let uppers = self.every().map(|(lower, _)| lower).skip(2).chain([u64::MAX]);
        let counted = self.buckets().zip(uppers);
        counted.fold(0, |sum: u64, ((_, count), upper)| sum.saturating_add((upper - 1).saturating_mul(count)))
    }
}

#[cfg(test)]
impl TimeHistogram {
    /// With these durations in it, by `timeHistogram.record`.
    pub(crate) fn of(durations: &[i64]) -> Self {
        let mut histogram = Self { counts: [0; COUNTS].into(), underflow: 0, overflow: 0 };
        for duration in durations {
            let Ok(duration) = u64::try_from(*duration) else {
                histogram.underflow += 1;
                continue;
            };
            let bits = (u64::BITS - duration.leading_zeros()) as usize;
            let (bit, bucket) =
                if bits < LEAST_BITS { (LEAST_BITS, 0) } else { (bits, bits - LEAST_BITS + 1) };
            let part = usize::try_from(duration >> (bit - 3)).unwrap_or(0) % PARTS;
            match histogram.counts.get_mut(bucket * PARTS + part) {
                Some(count) => *count += 1,
                None => histogram.overflow += 1,
            }
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(durations: &[i64]) -> TimeHistogram {
        TimeHistogram::of(durations)
    }

    fn bytes_of(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// As `runtime/metrics` names them: `timeHistogramMetricsBuckets`.
    #[test]
    fn buckets_begin_where_go_says() {
        let mut go = vec![0, 64, 128, 192];
        for bit in 9..48 {
            go.extend((0..4).map(|part| (1_u64 << (bit - 1)) | part << (bit - 3)));
        }
        go.push(1 << 47);
        let histogram = of(&[]);
        assert_eq!(histogram.buckets().map(|(lower, _)| lower).collect::<Vec<_>>(), go);
        assert_eq!(go[..9], [0, 64, 128, 192, 256, 320, 384, 448, 512]);
    }

    #[test]
    fn what_is_below_and_beyond_is_counted() {
        let histogram = of(&[-1, 0, 63, 64, 10_239, 10_240, 1 << 47, i64::MAX]);
        assert_eq!((histogram.count(), histogram.negative()), (8, 1));
        assert_eq!([64, 128, 10_240, 12_288, 1 << 47].map(|at| histogram.below(at)), [3, 4, 5, 6, 6]);
        assert_eq!(histogram.least(), 64 + 8192 + 10_240 + (2 << 47));
        assert_eq!(histogram.most(), u64::MAX);
        assert_eq!(of(&[300, 20]).most(), 319 + 63);
    }

    #[test]
    fn what_cannot_be_counts_is_none() {
        let mut words = [0; COUNTS + 2];
        (words[3], words[COUNTS]) = (u64::MAX, 1);
        assert_eq!(TimeHistogram::parse(&bytes_of(&words)), None);
        words[3] = u64::MAX - 1;
        let most = TimeHistogram::parse(&bytes_of(&words)).unwrap();
        assert_eq!((most.count(), most.least()), (u64::MAX, u64::MAX));
        assert_eq!(TimeHistogram::parse(&bytes_of(&words[1..])), None);
        assert_eq!(TimeHistogram::parse(&[]), None);
    }

    proptest! {
        #[test]
        fn a_sum_is_a_fifth_too_little_at_most(durations in proptest::collection::vec(0_i64..1 << 47, 0..50)) {
            let histogram = of(&durations);
            let sum: u64 = durations.iter().map(|duration| duration.cast_unsigned()).sum();
            let (least, short) = (histogram.least(), 64 * durations.len() as u64);
            prop_assert!(least <= sum && sum <= histogram.most());
            prop_assert!(sum - least <= sum / 5 + short, "{least} of {sum}");
            for duration in durations {
                prop_assert_eq!(of(&[duration]).count(), 1);
                let bound = duration.cast_unsigned().next_power_of_two().max(64);
                let (below, above) = (of(&[duration]).below(bound), of(&[bound.cast_signed()]).below(bound));
                prop_assert_eq!((below, above), (u64::from(duration.cast_unsigned() < bound), 0));
            }
        }
    }
}
