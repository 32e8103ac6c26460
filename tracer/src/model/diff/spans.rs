//! What reports on a running program add up to: what one side of a comparison is made from. Bounded, whatever comes.

use std::collections::BTreeMap;

use super::sample::Sample;
use crate::event::recorded::{Blocking, Gc, GcSummary};
use crate::model::series::TooMuch;
use crate::units::Nanos;

/// The most lines of code that are kept, and the most bytes that their names take together.
const SITE_LIMIT: usize = 1 << 17;
const NAME_LIMIT: usize = 64 << 20;

/// The most pauses that are kept: two of each cycle, of 32768 cycles a report.
const PAUSE_LIMIT: usize = 1 << 20;

/// A line of code, and what it was blocked on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The cause, in the contract's words.
    pub cause: String,
    /// The function; empty when nothing is known.
    pub function: String,
    /// Its file; empty when it is not known, or when this is of all lines of the function.
    pub file: String,
    /// The line; zero when it is not known, or when this is of all lines of the function.
    pub line: u32,
}

/// What reports on a running program add up to.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// How many reports.
    pub reports: usize,
    /// In how many of them something was lost or could not be seen.
    pub incomplete: usize,
    /// Their spans together.
    pub time: Nanos,
    /// What the collector did; none when no report tells.
    pub gc: Option<Collections>,
    blocked: Sites,
}

/// What the garbage collector did.
#[derive(Clone, Debug, Default)]
pub struct Collections {
    /// The spans together in which it was followed.
    pub time: Nanos,
    /// How many cycles ended in them.
    pub cycles: u64,
    /// How many of these are not among the pauses, nor the assists.
    pub untold: u64,
    /// Each stop of the world in a cycle: one for sweep termination and one for mark termination.
    pub pauses: Vec<Nanos>,
    /// The CPU time of assists, cycle by cycle.
    pub assists: Sample,
    /// How many reports say that what was read of the collector cannot be believed.
    pub refused: usize,
}

/// The lines of a report whose end has not come yet.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Open {
    blocked: Sites,
    cycles: Vec<Gc>,
    gc: Option<GcSummary>,
}

impl Open {
    pub(in crate::model) fn blocking(&mut self, line: Blocking) -> Result<(), TooMuch> {
        let sample = Sample::of(line.count, line.total_ns, line.max_ns);
        self.blocked.add(place(line), &sample)
    }

    pub(in crate::model) fn cycle(&mut self, cycle: Gc) -> Result<(), TooMuch> {
        self.cycles.push(cycle);
        if self.cycles.len() > PAUSE_LIMIT / 2 { Err(TooMuch) } else { Ok(()) }
    }

    pub(in crate::model) fn gc(&mut self, summary: GcSummary) {
        self.gc = Some(summary);
    }
}

/// Sums by place.
#[derive(Clone, Debug, Default)]
struct Sites {
    sums: BTreeMap<Place, Sample>,
    name_bytes: usize,
}

impl Sites {
    fn add(&mut self, place: Place, sample: &Sample) -> Result<(), TooMuch> {
        if let Some(known) = self.sums.get_mut(&place) {
            known.add(sample);
            return Ok(());
        }
        self.name_bytes += place.cause.len() + place.function.len() + place.file.len();
        self.sums.insert(place, *sample);
        if self.sums.len() > SITE_LIMIT || self.name_bytes > NAME_LIMIT { Err(TooMuch) } else { Ok(()) }
    }
}

impl Spans {
    /// Whether a line is suffered time of a known length, which is what is compared. What `--waits` saw depends on how many
    /// goroutines it followed, and a wait without a retry is only known to have been no longer.
    pub(in crate::model) fn has(line: &Blocking) -> bool {
        line.class == "suffered" && line.kind != "wait" && line.retried != Some(false) && line.count > 0
    }

    /// A report is at its end.
    pub(in crate::model) fn add(
        &mut self,
        open: Open,
        span: Nanos,
        is_complete: bool,
    ) -> Result<(), TooMuch> {
        self.reports += 1;
        self.incomplete += usize::from(!is_complete);
        self.time = self.time.plus(span);
        open.blocked.sums.into_iter().try_for_each(|(place, sample)| self.blocked.add(place, &sample))?;
        open.gc.map_or(Ok(()), |gc| self.gc.get_or_insert_default().add(&open.cycles, &gc))
    }

    /// What suffered where, from what.
    #[must_use]
    pub fn blocked(&self) -> &BTreeMap<Place, Sample> {
        &self.blocked.sums
    }
}

impl Collections {
    fn add(&mut self, cycles: &[Gc], summary: &GcSummary) -> Result<(), TooMuch> {
        if summary.refused.is_some() {
            self.refused += 1;
            return Ok(());
        }
        self.time = self.time.plus(summary.span_ns);
        self.cycles = self.cycles.saturating_add(summary.cycles).saturating_add(summary.cycles_missed);
        self.untold = self.untold.saturating_add(summary.cycles_untold).saturating_add(summary.cycles_missed);
        for cycle in cycles {
            self.pauses.extend([cycle.stw_sweep_term_ns, cycle.stw_mark_term_ns]);
            self.assists.add(&Sample::one(cycle.assist_ns));
        }
        if self.pauses.len() > PAUSE_LIMIT { Err(TooMuch) } else { Ok(()) }
    }

    /// The pauses as a sum.
    #[must_use]
    pub fn paused(&self) -> Sample {
        let mut all = Sample::default();
        self.pauses.iter().for_each(|pause| all.add(&Sample::one(*pause)));
        all
    }
}

fn place(line: Blocking) -> Place {
    let cause = line.cause.unwrap_or_else(|| "other".to_owned());
    match line.site {
        Some(site) => Place {
            cause,
            function: site.function,
            file: site.file.unwrap_or_default(),
            line: site.line.unwrap_or(0),
        },
        None => Place { cause, function: String::new(), file: String::new(), line: 0 },
    }
}
