//! What is known of a running program at a moment, besides what single events have told: all that a report of it is
//! made from, whether at once or later, from a capture.

use serde::{Deserialize, Serialize};

use super::blocking::{BlockedNow, BlockingInput, BlockingReport};
use super::following::Following;
use super::gc::{GcInput, GcReport};
use super::parking::{Overhead, ParkingInput, ParkingReport};
use super::report::{Ending, MissingProbe, Subject};
use super::waits::Symbols;
use crate::stream::{ProbeLoss, Tables};
use crate::units::Nanos;

/// What is known at a moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Look {
    /// Whom it is about; its wall clock is that of `began`.
    pub subject: Subject,
    /// When the span began that a report is on, on the boot clock.
    pub began: Nanos,
    /// When it ended: when the tables were read.
    pub ended: Nanos,
    /// From how long on a stack was taken.
    pub stack_from: Nanos,
    /// From how long on a call was told by itself.
    pub slow_from: Nanos,
    /// How many times a second it was looked where the program runs, on each CPU; zero for never.
    #[serde(default)]
    pub frequency: u64,
    /// The sums by then.
    pub tables: Tables,
    /// Who was blocked. A capture keeps them beside it.
    #[serde(skip)]
    pub blocked_now: Vec<BlockedNow>,
    /// Every probe's account.
    pub losses: Vec<ProbeLoss>,
    /// Records that were none of this version's.
    pub undecodable: u64,
    /// What could not be seen, each with the reason.
    pub missing: Vec<MissingProbe>,
    /// How the process ended, if it did.
    pub ending: Ending,
    /// Of the probes on the scheduler, with `--waits` only.
    #[serde(default)]
    pub parking: Option<ParkingLook>,
    /// Of the collector, where it is followed.
    #[serde(default)]
    pub gc: Option<GcLook>,
}

/// When the first of several spans began.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    began: Nanos,
    wall_clock_unix_ns: u64,
}

impl Beginning {
    /// That of the span that ends with a look.
    #[must_use]
    pub fn of(look: &Look) -> Self {
        Self { began: look.began, wall_clock_unix_ns: look.subject.wall_clock_unix_ns }
    }
}

/// What is known of the probes on the scheduler.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParkingLook {
    /// What they cost.
    pub overhead: Overhead,
    /// What the report does without, each with the reason.
    pub missing: Vec<MissingProbe>,
}

/// What is known of the collector besides its cycles.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GcLook {
    /// From how long on a stop or a cycle is looked at by itself.
    pub slow_from: Nanos,
    /// `runtime.runtimeInitTime`
    pub runtime_init: Nanos,
    /// GOGC, -1 when it is off; none when that was not looked at.
    pub gc_percent: Option<i32>,
    /// How long its control group had kept the process from running when the first probe was armed.
    pub throttled_before: Option<Nanos>,
    /// What could not be seen, each with the reason.
    pub missing: Vec<MissingProbe>,
}

impl Look {
    /// The report on the span that ends with this look. `before` is the look that it began with, unless it began with
    /// the first probe; `following` is what events have told in it.
    #[must_use]
    pub fn report(
        &self,
        before: Option<&Self>,
        following: &Following,
        symbols: &dyn Symbols,
    ) -> BlockingReport {
        self.report_from(self.began, self.subject.clone(), before, following, symbols)
    }

    fn report_from(
        &self,
        began: Nanos,
        subject: Subject,
        before: Option<&Self>,
        following: &Following,
        symbols: &dyn Symbols,
    ) -> BlockingReport {
        let earlier = before.map(|before| &before.tables);
        let mut report = BlockingReport::of(BlockingInput {
            subject,
            began,
            ended: self.ended,
            stack_from: self.stack_from,
            slow_from: self.slow_from,
            frequency: self.frequency,
            tables: &self.tables,
            before: earlier,
            slow: &following.slow,
            blocked_now: self.blocked_now.clone(),
            losses: self.losses.clone(),
            undecodable: self.undecodable,
            missing: self.missing.clone(),
            ending: self.ending.clone(),
            symbols,
        });
        report.parking = self.parking(earlier, following, symbols);
        report.gc = self.gc(began, earlier, following, &report, symbols);
        report
    }

    /// The report on all of the time since the begin, where there were reports in between: `first` is the look of the
    /// first of them, and `before` the one that the file began with, if it did.
    #[must_use]
    pub fn whole_report(
        &self,
        first: &Beginning,
        before: Option<&Self>,
        following: &Following,
        symbols: &dyn Symbols,
    ) -> BlockingReport {
        let subject = Subject { wall_clock_unix_ns: first.wall_clock_unix_ns, ..self.subject.clone() };
        self.report_from(first.began, subject, before, following.whole(), symbols)
    }

    fn parking(
        &self,
        before: Option<&Tables>,
        following: &Following,
        symbols: &dyn Symbols,
    ) -> Option<ParkingReport> {
        let parking = self.parking.as_ref()?;
        Some(ParkingReport::of(ParkingInput {
            tables: self.tables.parking.as_ref()?,
            before: before.and_then(|before| before.parking.as_ref()),
            wakeups: &following.wakeups,
            stacks: &self.tables,
            module: self.subject.module.as_deref(),
            overhead: parking.overhead.clone(),
            missing: parking.missing.clone(),
            symbols,
        }))
    }

    fn gc(
        &self,
        began: Nanos,
        before: Option<&Tables>,
        following: &Following,
        blocking: &BlockingReport,
        symbols: &dyn Symbols,
    ) -> Option<GcReport> {
        let gc = self.gc.as_ref()?;
        let throttled_before = before.map_or(gc.throttled_before, |before| before.throttled);
        Some(GcReport::of(GcInput {
            history: following.gc.as_ref()?,
            began,
            ended: self.ended,
            slow_from: gc.slow_from,
            assists: &self.tables.assists,
            assists_before: before.map_or(&[], |before| &before.assists),
            stacks: &self.tables,
            throttled: self.tables.throttled.zip(throttled_before).map(|(now, before)| now.since(before)),
            runtime_init: Some(gc.runtime_init),
            gc_percent: gc.gc_percent,
            module: self.subject.module.as_deref(),
            missing: gc.missing.clone(),
            blocking: Some(blocking),
            symbols,
        }))
    }
}
