//! How long the world was stopped, and how often, by reason: what the scheduler counts of it, which
//! `/sched/pauses/total/{gc,other}:seconds` is made from.
//!
//! Two other accounts are held against it. Each stop is counted twice, when all have stopped and when they go on again
//! (runtime/proc.go, `stopTheWorldWithSema` and `startTheWorldWithSema`), from one begin, and `worldsema` has only one stop
//! under way at a time. And the collector adds up its stops by itself (runtime/mgc.go, `work.pauseNS` and
//! `memstats.pause_total_ns`), by the same two readings of the clock. Both hold for Go 1.22 to 1.27.

use std::thread;

use super::super::gobin::PausesLayout;
use super::super::memory::Memory;
use super::histogram::TimeHistogram;
use super::{CounterError, CounterPlaces, PAUSE, TRIES};
use crate::units::{RuntimeAddr, VirtAddr};

/// How long the world was stopped, from where it began to stop until it was started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// By the collector: at the begin of a cycle, and at the end of marking, which may be tried more than once.
    pub gc: TimeHistogram,
    /// For everything else: `runtime.GOMAXPROCS`, `runtime.ReadMemStats`, profiles of goroutines, traces and the like.
    pub other: TimeHistogram,
}

/// What the collector has noted of its own stops.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Noted {
    /// `work.cycles` and `memstats.numgc`
    begun: u32,
    ended: u32,
    /// `memstats.pause_total_ns`: of the cycles that are over.
    total: u64,
    /// `work.pauseNS`: of this cycle, or of the last until another begins.
    cycle: u64,
}

/// What the scheduler has counted, of one reason.
struct Counted {
    stopping: TimeHistogram,
    total: TimeHistogram,
}

impl Pauses {
    /// Reads them from a process's memory, as [`super::Counters::read`] does; none when [`CounterPlaces::pauses`] is
    /// refused.
    ///
    /// # Errors
    /// When the memory cannot be read, or what is there contradicts what else the runtime notes.
    pub fn read(
        memory: &impl Memory,
        bias: u64,
        places: &CounterPlaces,
    ) -> Result<Option<Self>, CounterError> {
        let Ok((layout, sched)) = &places.pauses else { return Ok(None) };
        let mut wrong = CounterError::Changing;
        for _ in 0..TRIES {
            let before = Noted::read(memory, bias, places)?;
            let (gc, other) = counted(memory, bias, layout, *sched)?;
            wrong = if Noted::read(memory, bias, places)? != before {
                CounterError::Changing
            } else if let Err(what) = check(&gc, &other, before) {
                CounterError::Impossible(what)
            } else {
                return Ok(Some(Self { gc: gc.total, other: other.total }));
            };
            thread::sleep(PAUSE);
        }
        Err(wrong)
    }
}

impl Noted {
    fn read(memory: &impl Memory, bias: u64, places: &CounterPlaces) -> Result<Self, CounterError> {
        let at = |variable: VirtAddr, offset: u32| {
            RuntimeAddr(variable.0.wrapping_add(bias).wrapping_add(offset.into()))
        };
        let (layout, globals) = (&places.layout, &places.globals);
        Ok(Self {
            begun: memory.u32(at(globals.work, layout.work.cycles))?,
            ended: memory.u32(at(globals.memstats, layout.stats.numgc))?,
            total: memory.u64(at(globals.memstats, layout.stats.pause_total_ns))?,
            cycle: memory.u64(at(globals.work, layout.work.pause_ns))?,
        })
    }
}

/// Reads all of them at once, so that little changes meanwhile.
fn counted(
    memory: &impl Memory,
    bias: u64,
    layout: &PausesLayout,
    sched: VirtAddr,
) -> Result<(Counted, Counted), CounterError> {
    let offsets = [layout.stopping_gc, layout.stopping_other, layout.total_gc, layout.total_other];
    let [first, .., last] = offsets;
    let (size, large) = (as_usize(layout.size()), CounterError::Impossible("its layout is larger than it"));
    let len = last.checked_sub(first).map_or(0, as_usize).saturating_add(size);
    if len > MOST {
        return Err(large);
    }
    let mut bytes = vec![0; len];
    memory.read(RuntimeAddr(sched.0.wrapping_add(bias).wrapping_add(first.into())), &mut bytes)?;
    let mut histograms = offsets.map(|offset| {
        let from = offset.checked_sub(first).map(as_usize)?;
        TimeHistogram::parse(bytes.get(from..from.checked_add(size)?)?)
    });
    let mut next = |at: usize| {
        histograms
            .get_mut(at)
            .and_then(Option::take)
            .ok_or(CounterError::Impossible("there were too many stops"))
    };
    let gc = Counted { stopping: next(0)?, total: next(2)? };
    Ok((gc, Counted { stopping: next(1)?, total: next(3)? }))
}

fn as_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// `runtime.schedt` is smaller.
const MOST: usize = 1 << 14;

/// Whether the accounts agree.
fn check(gc: &Counted, other: &Counted, noted: Noted) -> Result<(), &'static str> {
    let holds = |holds: bool, what| holds.then_some(()).ok_or(what);
    let (stopped, otherwise) = (gc.under_way()?, other.under_way()?);
    holds(stopped + otherwise <= 1, "the world was stopped twice at a time")?;

    // Each cycle stops the world before it is counted as begun, and again before it is counted as over.
    let (begun, ended) = (u64::from(noted.begun), u64::from(noted.ended));
    holds(gc.stopping.count() >= begun + ended, "there were more cycles than stops for them")?;
    holds(begun > 0 || gc.total.count() == 0, "there were stops for a cycle, and no cycle")?;

    // What a stop adds to the collector's own sum it adds when it is over, at the end of a cycle shortly before.
    let is_over = noted.begun == noted.ended;
    let noted_all = noted.total.saturating_add(if is_over { 0 } else { noted.cycle });
    let noted_least = if stopped == 0 { noted_all } else { noted.total.saturating_sub(noted.cycle) };
    holds(gc.total.least() <= noted_all, "the stops are longer than the collector says")?;
    holds(noted_least <= gc.total.most(), "the stops are shorter than the collector says")
}

impl Counted {
    /// How many stops have stopped the world and have not started it yet: none or one.
    fn under_way(&self) -> Result<u64, &'static str> {
        let under_way = self.stopping.count().checked_sub(self.total.count()).filter(|stops| *stops <= 1);
        let under_way = under_way.ok_or("stops that began are not those that ended")?;
        // The whole is not shorter than its first part, so of no length or more are there fewer wholes.
        let tails = |histogram: &TimeHistogram| {
            let mut left = histogram.count() - histogram.negative();
            let tails = histogram.buckets().map(|(_, count)| {
                let tail = left;
                left -= count;
                tail
            });
            tails.collect::<Vec<_>>()
        };
        let (parts, wholes) = (tails(&self.stopping), tails(&self.total));
        let fits = parts.iter().zip(&wholes).all(|(part, whole)| *part <= *whole + under_way);
        if fits { Ok(under_way) } else { Err("the world took longer to stop than it was stopped") }
    }
}
