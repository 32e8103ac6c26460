//! Tracks, and slices on them that lie within or beside each other: readers take what overlaps otherwise for broken.

use std::cmp::Reverse;
use std::io;

use super::args::Args;
use super::event::{Reach, Writer};
use crate::units::Nanos;

/// Readers keep 32 bits of a track's number, and show it beside the name: a goroutine's is its own, up to here.
const MOST: u64 = 1 << 31;

/// The numbers of tracks that are no goroutine's are larger than this.
const LEAST: u64 = 100;

/// A stretch of time.
pub(super) struct Slice<'a> {
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    pub(super) name: String,
    pub(super) category: &'static str,
    pub(super) args: Args<'a>,
}

/// Whose track it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// A goroutine.
    Goroutine(u64),
    /// A thread, of which it is not known what it ran.
    Thread(u32),
}

/// Hands out the tracks' numbers, and writes what is on them, in the order in which they are to be shown.
pub(super) struct Tracks {
    shown: u64,
    /// The last number that is no goroutine's.
    own: u64,
    /// Goroutines below this have their own number.
    from: u64,
}

impl Tracks {
    /// None yet, for a trace in which no goroutine but these has a track.
    pub(super) fn beside(goids: impl Iterator<Item = u64>) -> Self {
        let largest = goids.filter(|goid| *goid < MOST).max().unwrap_or(0);
        let mut from = LEAST;
        while from <= largest {
            from = from.saturating_mul(10);
        }
        let from = from.min(MOST);
        Self { shown: 0, own: from, from }
    }

    /// Names one more track, and returns its number. A goroutine's first one has the goroutine's own number.
    pub(super) fn open(&mut self, owner: Owner, name: &str, writer: &mut Writer<'_>) -> io::Result<u64> {
        let tid = match owner {
            Owner::Goroutine(goid) if goid < self.from => goid,
            _ => return self.own(name, writer),
        };
        self.name(tid, name, writer)?;
        Ok(tid)
    }

    /// The same of a track that is nobody's.
    pub(super) fn own(&mut self, name: &str, writer: &mut Writer<'_>) -> io::Result<u64> {
        let tid = self.next();
        self.name(tid, name, writer)?;
        Ok(tid)
    }

    /// Writes slices on the track, and on as many more beside it as it takes. Returns on which each is, in the order
    /// in which they were given.
    pub(super) fn write(
        &mut self,
        tid: u64,
        name: &str,
        slices: &[Slice<'_>],
        writer: &mut Writer<'_>,
    ) -> io::Result<Vec<u64>> {
        let lanes = lanes(slices);
        let mut on = vec![tid; slices.len()];
        for (number, lane) in lanes.iter().enumerate() {
            let mut tid = tid;
            if number > 0 {
                tid = self.own(&format!("{name} ({})", number + 1), writer)?;
            }
            lane.iter().for_each(|index| on[*index] = tid);
            nested(tid, lane.iter().map(|index| &slices[*index]), writer)?;
        }
        Ok(on)
    }

    fn next(&mut self) -> u64 {
        self.own += 1;
        self.own
    }

    fn name(&mut self, tid: u64, name: &str, writer: &mut Writer<'_>) -> io::Result<()> {
        self.shown += 1;
        writer.track(tid, name, self.shown)
    }
}

/// The places of the slices, by the track that they fit on, in the order of time and from the outside in.
fn lanes(slices: &[Slice<'_>]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..slices.len()).collect();
    order.sort_by_key(|index| (slices[*index].start, Reverse(slices[*index].end)));
    let mut lanes: Vec<(Vec<Nanos>, Vec<usize>)> = Vec::new();
    for index in order {
        let slice = &slices[index];
        let fits = lanes.iter_mut().position(|(open, _)| {
            while open.last().is_some_and(|end| *end <= slice.start) {
                open.pop();
            }
            open.last().is_none_or(|end| slice.end <= *end)
        });
        let lane = fits.unwrap_or_else(|| {
            lanes.push(Default::default());
            lanes.len() - 1
        });
        lanes[lane].0.push(slice.end);
        lanes[lane].1.push(index);
    }
    lanes.into_iter().map(|(_, lane)| lane).collect()
}

/// Writes slices of one track. What took no time, or was over before the trace, is a moment: readers cannot tell where
/// a slice without length lies.
fn nested<'a>(
    tid: u64,
    slices: impl Iterator<Item = &'a Slice<'a>>,
    writer: &mut Writer<'_>,
) -> io::Result<()> {
    let mut open: Vec<&Slice<'_>> = Vec::new();
    for slice in slices {
        while let Some(over) = open.pop_if(|open| open.end <= slice.start) {
            writer.end(tid, over)?;
        }
        if slice.start.max(writer.zero()) < slice.end {
            writer.begin(tid, slice)?;
            open.push(slice);
        } else {
            writer.instant(tid, slice.start, &slice.name, Reach::Track, Some(slice.args.to_json()))?;
        }
    }
    open.into_iter().rev().try_for_each(|slice| writer.end(tid, slice))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slice((start, end): (u64, u64)) -> Slice<'static> {
        let (start, end) = (Nanos(start), Nanos(end));
        Slice { start, end, name: String::new(), category: "", args: Args::None }
    }

    proptest! {
        #[test]
        fn on_one_track_all_is_within_or_beside(
            spans in proptest::collection::vec((0..60_u64, 0..30_u64), 0..40)
        ) {
            let slices: Vec<_> = spans.iter().map(|(start, length)| slice((*start, start + length))).collect();
            let lanes = lanes(&slices);
            let mut all: Vec<usize> = lanes.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..slices.len()).collect::<Vec<_>>());
            for lane in lanes {
                for (nth, one) in lane.iter().enumerate() {
                    for other in &lane[nth + 1..] {
                        let (one, other) = (&slices[*one], &slices[*other]);
                        let beside = one.end <= other.start;
                        let within = one.start <= other.start && other.end <= one.end;
                        prop_assert!(beside || within);
                    }
                }
            }
        }
    }

    #[test]
    fn what_overlaps_is_on_another_track() {
        let lanes = |spans: &[(u64, u64)]| lanes(&spans.iter().copied().map(slice).collect::<Vec<_>>());
        assert_eq!(lanes(&[(0, 10), (2, 5), (5, 10), (10, 12)]), [[0, 1, 2, 3]]);
        assert_eq!(lanes(&[(2, 5), (0, 10)]), [[1, 0]], "the outer one first");
        assert_eq!(lanes(&[(0, 10), (5, 15), (10, 12)]), [vec![0, 2], vec![1]]);
        assert_eq!(lanes(&[(5, 5), (5, 9), (0, 5)]), [[2, 1, 0]], "one of no length");
    }
}
