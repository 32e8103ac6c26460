//! Stops of the world, counted and contradicting each other.

use super::super::Pauses;
use super::*;

const VERSIONS: [&str; 6] = ["go1.22.10", "go1.23.9", "go1.24.11", "go1.25.5", "go1.26.6", "go1.27.3"];

/// Of how many nanoseconds a stop is in the bucket.
const BUCKETS: [(usize, u64); 4] = [(0, 0), (1, 64), (25, 10_240), (52, 1 << 20)];

/// One with 7 cycles, each of 2 stops that took 64 ns, and with 3 other stops.
struct Stopped {
    image: Image,
    places: CounterPlaces,
    layout: PausesLayout,
}

impl Stopped {
    fn of(version: &str) -> Self {
        let places = places(version);
        let (layout, _) = *places.pauses.as_ref().unwrap();
        let mut stopped = Self { image: Image::at_rest(&places), places, layout };
        let PausesLayout { stopping_gc, stopping_other, total_gc, total_other, .. } = layout;
        stopped.count(stopping_gc, 0, 14);
        stopped.count(total_gc, 1, 14);
        stopped.count(stopping_other, 1, 3);
        stopped.count(total_other, 25, 2);
        stopped.count(total_other, 52, 1);
        stopped.image.put(WORK + u64::from(stopped.places.layout.work.pause_ns), u64::to_le_bytes(130));
        stopped
    }

    fn count(&mut self, histogram: u32, bucket: u64, count: u64) {
        self.image.put(SCHED + u64::from(histogram) + 8 * bucket, count.to_le_bytes());
    }

    fn put_total(&mut self, total: u64) {
        let at = STATS + u64::from(self.places.layout.stats.pause_total_ns);
        self.image.put(at, total.to_le_bytes());
    }

    fn put_begun(&mut self, begun: u32) {
        self.image.put(WORK + u64::from(self.places.layout.work.cycles), begun.to_le_bytes());
    }

    fn read(&self) -> Result<Option<Pauses>, CounterError> {
        Pauses::read(&self.image, BIAS, &self.places)
    }

    fn refused(&self) -> &'static str {
        match self.read() {
            Err(CounterError::Impossible(what)) => what,
            other => panic!("{other:?}"),
        }
    }
}

fn counted(histogram: &TimeHistogram) -> Vec<(u64, u64)> {
    histogram.buckets().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn what_the_scheduler_counts_is_read() {
    for version in VERSIONS {
        let pauses = Stopped::of(version).read().unwrap().unwrap();
        assert_eq!(counted(&pauses.gc), [(64, 14)], "{version}");
        assert_eq!(counted(&pauses.other), [(10_240, 2), (1 << 20, 1)], "{version}");
    }
    let places = places("go1.21.13");
    assert_eq!(Pauses::read(&Image::at_rest(&places), BIAS, &places).unwrap(), None);
}

#[test]
fn nothing_is_stopped_before_the_first_stop() {
    let mut stopped = Stopped::of("go1.26.6");
    stopped.image.bytes.fill(0);
    let pauses = stopped.read().unwrap().unwrap();
    assert_eq!((pauses.gc.count(), pauses.other.count()), (0, 0));
    // The first cycle is about to begin.
    stopped.count(stopped.layout.stopping_gc, 0, 1);
    assert_eq!(stopped.read().unwrap().unwrap().gc.count(), 0);
    stopped.count(stopped.layout.total_gc, 0, 1);
    assert_eq!(stopped.refused(), "there were stops for a cycle, and no cycle");
}

/// `gcStart` and `gcMarkTermination`, step by step.
#[test]
fn a_cycle_that_goes_on_is_no_contradiction() {
    let mut stopped = Stopped::of("go1.26.6");
    let PausesLayout { stopping_gc, total_gc, .. } = stopped.layout;
    let pause_ns = WORK + u64::from(stopped.places.layout.work.pause_ns);
    let holds = |stopped: &Stopped, stops, what| {
        let read = stopped.read().unwrap_or_else(|error| panic!("{what}: {error}")).unwrap();
        assert_eq!(read.gc.count(), stops, "{what}");
    };
    stopped.image.put(pause_ns, [0; 8]);
    stopped.count(stopping_gc, 25, 1);
    holds(&stopped, 14, "stopped to end sweeping");
    stopped.put_begun(8);
    holds(&stopped, 14, "begun");
    stopped.count(total_gc, 52, 1);
    assert_eq!(stopped.refused(), "the stops are longer than the collector says");
    stopped.image.put(pause_ns, u64::to_le_bytes((1 << 20) + 5));
    holds(&stopped, 15, "marking");
    stopped.count(stopping_gc, 25, 2);
    holds(&stopped, 15, "stopped to end marking");
    stopped.image.put(pause_ns, u64::to_le_bytes((2 << 20) + 9));
    stopped.put_total(900 + (2 << 20) + 9);
    holds(&stopped, 15, "added up");
    stopped.image.put(STATS + u64::from(stopped.places.layout.stats.numgc), u32::to_le_bytes(8));
    holds(&stopped, 15, "over, and not started");
    stopped.count(total_gc, 52, 2);
    holds(&stopped, 16, "started");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let with = |change: fn(&mut Stopped)| {
        let mut stopped = Stopped::of("go1.26.6");
        change(&mut stopped);
        stopped.refused()
    };
    assert_eq!(
        with(|stopped| stopped.count(stopped.layout.total_other, 52, 2)),
        "stops that began are not those that ended"
    );
    assert_eq!(
        with(|stopped| stopped.count(stopped.layout.stopping_other, 1, 5)),
        "stops that began are not those that ended"
    );
    assert_eq!(
        with(|stopped| {
            stopped.count(stopped.layout.stopping_other, 1, 4);
            stopped.count(stopped.layout.stopping_gc, 0, 15);
        }),
        "the world was stopped twice at a time"
    );
    assert_eq!(
        with(|stopped| {
            stopped.count(stopped.layout.stopping_other, 1, 1);
            stopped.count(stopped.layout.stopping_other, 53, 2);
        }),
        "the world took longer to stop than it was stopped"
    );
    assert_eq!(with(|stopped| stopped.put_total(895)), "the stops are longer than the collector says");
    assert_eq!(
        with(|stopped| stopped.put_total(14 * 127 + 1)),
        "the stops are shorter than the collector says"
    );
    assert_eq!(
        with(|stopped| {
            stopped.count(stopped.layout.stopping_gc, 0, 13);
            stopped.count(stopped.layout.total_gc, 1, 13);
        }),
        "there were more cycles than stops for them"
    );
    assert_eq!(
        with(|stopped| stopped.count(stopped.layout.total_gc, 3, u64::MAX)),
        "there were too many stops"
    );
}

/// What the collector adds up is within the buckets, so wherever they are taken for their neighbours it is not.
#[test]
fn a_wrong_place_is_refused() {
    for version in VERSIONS {
        let right = Stopped::of(version);
        let fields: [fn(&mut PausesLayout) -> &mut u32; 4] = [
            |layout| &mut layout.stopping_gc,
            |layout| &mut layout.total_gc,
            |layout| &mut layout.stopping_other,
            |layout| &mut layout.total_other,
        ];
        let refuses = |wrong: PausesLayout| {
            let mut stopped = Stopped::of(version);
            stopped.places.pauses = Ok((wrong, VirtAddr(SCHED)));
            stopped.refused();
        };
        for by in [-16, -8, 8, 16, 1296] {
            let mut all = right.layout;
            for field in fields {
                *field(&mut all) = field(&mut all).saturating_add_signed(by);
            }
            refuses(all);
            let mut one = right.layout;
            one.total_gc = one.total_gc.saturating_add_signed(by);
            refuses(one);
        }
        let PausesLayout { stopping_gc, stopping_other, total_gc, total_other, .. } = right.layout;
        refuses(PausesLayout { total_gc: total_other, total_other: total_gc, ..right.layout });
        refuses(PausesLayout { stopping_gc: total_gc, total_gc: stopping_gc, ..right.layout });
        refuses(PausesLayout { stopping_gc: stopping_other, stopping_other: stopping_gc, ..right.layout });
        refuses(PausesLayout { total_other: 1 << 20, ..right.layout });
    }
}

#[test]
fn buckets_are_as_long_as_the_tests_say() {
    let all = Stopped::of("go1.26.6").read().unwrap().unwrap();
    for (bucket, lower) in BUCKETS {
        assert_eq!(all.gc.buckets().nth(bucket).unwrap().0, lower);
    }
}

/// A collector that never rests.
struct Busy<'a>(&'a Stopped);

impl Memory for Busy<'_> {
    fn read(&self, at: RuntimeAddr, into: &mut [u8]) -> io::Result<()> {
        self.0.image.read(at, into)?;
        let total = STATS + u64::from(self.0.places.layout.stats.pause_total_ns);
        if at.0 == BIAS + total {
            into[0] = self.0.image.reads.get();
        }
        Ok(())
    }
}

#[test]
fn what_changes_all_the_time_is_not_told() {
    let stopped = Stopped::of("go1.27.3");
    let read = Pauses::read(&Busy(&stopped), BIAS, &stopped.places);
    assert!(matches!(read, Err(CounterError::Changing)), "{read:?}");
    let mut nowhere = Stopped::of("go1.27.3");
    nowhere.image.bytes.truncate(usize::try_from(SCHED).unwrap());
    assert!(matches!(nowhere.read(), Err(CounterError::Memory(_))));
}
