//! Everything that a look at parked goroutines tells, ready for any format.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::super::blocking::stacks::{Resolved, Stacks};
use super::super::blocking::{Idle, Site, Sums};
use super::super::report::MissingProbe;
use super::super::waits::Symbols;
use super::overhead::Overhead;
use super::wakeups::{Wakeup, Wakeups};
use crate::event::parking::{ParkKey, ParkTotal, Waker};
use crate::stream::{ParkingTables, Tables};
use crate::target::gobin::Frame;
use crate::units::{Nanos, RuntimeAddr};

/// What a report is made from.
pub struct ParkingInput<'a> {
    /// The sums at the end of the span.
    pub tables: &'a ParkingTables,
    /// The sums at its beginning; none when it began with the first probe.
    pub before: Option<&'a ParkingTables>,
    /// The long waits that another goroutine ended.
    pub wakeups: &'a Wakeups,
    /// What holds the stacks' addresses.
    pub stacks: &'a Tables,
    /// The main module's path.
    pub module: Option<&'a str>,
    /// What the probes cost.
    pub overhead: Overhead,
    /// What the report does without, each with the reason.
    pub missing: Vec<MissingProbe>,
    /// What addresses and numbers mean.
    pub symbols: &'a dyn Symbols,
}

/// Why goroutines did not run in a span of time.
#[derive(Clone, Debug)]
pub struct ParkingReport {
    /// The sums, the costliest first.
    pub parkings: Vec<Parking>,
    /// The longest waits that another goroutine ended one by one, the longest first.
    pub wakeups: Vec<Wakeup>,
    /// How many such there were that took as long as a slow call.
    pub wakeup_count: u64,
    /// What the probes cost.
    pub overhead: Overhead,
    /// What the report does without, each with the reason.
    pub missing: Vec<MissingProbe>,
    /// Keys that were none of this version's.
    pub undecodable: u64,
}

/// Goroutines that were parked for the same, at the same place, until the same.
#[derive(Clone, Debug)]
pub struct Parking {
    /// Why, in the runtime's words.
    pub reason: String,
    /// Who made them ready.
    pub woken_by: WokenBy,
    /// How often and how long, from where they were parked to where they ran again.
    pub sums: Sums,
    /// The part of the time in which they were ready and had no P to run on; of those alone whose waker was seen.
    pub runnable: Nanos,
    /// Where, innermost first.
    pub stack: Arc<[Arc<Frame>]>,
    /// The go statement that made them.
    pub origin: Option<Frame>,
    /// The line of code that it is put down to.
    pub site: Site,
    /// Whether they only waited for something to do.
    pub idle: Option<Idle>,
}

/// The main goroutine has no go statement: assembly makes it, by the wrapper of `newproc` for such code
/// (runtime/asm_amd64.s, `rt0_go`).
const MAIN: [&str; 2] = ["runtime.newproc", "runtime.rt0_go"];

/// Who made a goroutine ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WokenBy {
    /// The main goroutine.
    Main,
    /// A goroutine that this go statement made.
    Goroutine(Option<Frame>),
    /// Its timer: a sleep has nothing else that ends it.
    Timer,
    /// The network poller: nothing else makes goroutines ready that wait for it without `ready`.
    Poller,
    /// The runtime between goroutines: a timer, or the scheduler.
    Runtime,
    /// Nobody was seen: the scheduler's own workers, or it did not have to be parked after all.
    Unseen,
    /// A thread of which it cannot be told which goroutine it ran.
    Unknown,
}

impl WokenBy {
    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Goroutine(_) => "goroutine",
            Self::Timer => "timer",
            Self::Poller => "poller",
            Self::Runtime => "runtime",
            Self::Unseen => "unseen",
            Self::Unknown => "unknown",
        }
    }

    fn of(key: &ParkKey, reason: &str, origin: impl FnOnce(RuntimeAddr) -> Option<Frame>) -> Self {
        match key.waker {
            Waker::Goroutine => match key.waker_gopc.and_then(origin) {
                Some(origin) if MAIN.contains(&&*origin.function) => Self::Main,
                origin => Self::Goroutine(origin),
            },
            Waker::Runtime if reason == "sleep" => Self::Timer,
            Waker::Runtime => Self::Runtime,
            Waker::Unseen if reason == "IO wait" => Self::Poller,
            Waker::Unseen => Self::Unseen,
            Waker::Unknown => Self::Unknown,
        }
    }
}

impl ParkingReport {
    /// What did not only wait for something to do.
    pub fn suffered(&self) -> impl Iterator<Item = &Parking> {
        self.parkings.iter().filter(|parking| parking.idle.is_none())
    }

    /// What the input tells.
    #[must_use]
    pub fn of(input: ParkingInput<'_>) -> Self {
        let mut stacks = Stacks::new(input.stacks, input.symbols);
        let reason = |number: u8| {
            let name = input.symbols.wait_reason(number).filter(|name| !name.is_empty());
            name.map_or_else(|| format!("wait reason {number}"), str::to_owned)
        };
        let earlier: HashMap<ParkKey, &ParkTotal> =
            input.before.iter().flat_map(|tables| &tables.totals).map(|total| (total.key, total)).collect();
        let mut parkings = Vec::new();
        for total in &input.tables.totals {
            let (sums, runnable) = match earlier.get(&total.key) {
                Some(before) => {
                    (Sums::since(total.into(), (*before).into()), total.runnable.since(before.runnable))
                }
                None => (Sums::all(total.into()), total.runnable),
            };
            if sums.count == 0 && sums.joined == 0 {
                continue;
            }
            let Resolved { frames: stack, origin, .. } = parked_at(&total.key, &mut stacks);
            let why = reason(total.key.reason);
            parkings.push(Parking {
                woken_by: WokenBy::of(&total.key, &why, |gopc| stacks.origin(gopc)),
                reason: why,
                sums,
                runnable,
                site: Site::of(&stack, origin.as_ref(), input.module),
                idle: Idle::of_stack(&stack, false),
                stack,
                origin,
            });
        }
        let rank = |parking: &Parking| Reverse((parking.sums.total, parking.sums.count, parking.sums.joined));
        parkings.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.site.cmp(&b.site)));
        Self {
            parkings,
            wakeups: input.wakeups.told(&mut stacks, reason),
            wakeup_count: input.wakeups.count(),
            overhead: input.overhead,
            missing: input.missing,
            undecodable: input.tables.undecodable,
        }
    }
}

/// Where a goroutine was parked.
pub(super) fn parked_at(key: &ParkKey, stacks: &mut Stacks<'_>) -> Resolved {
    let Resolved { frames, origin, may_idle } = stacks.resolve(key.stack, key.gopc);
    // Where the scheduler's stack does not lead on to the goroutine's, there is nothing to put it down to.
    let leads_on = frames.last().is_some_and(|frame| *frame.function != *"runtime.mcall");
    Resolved { frames: if leads_on { frames } else { Arc::default() }, origin, may_idle }
}
