//! Stops and cycles that took long: who was blocked meanwhile, and whether that has to do with each other.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::super::blocking::{BlockingReport, Site};
use super::super::time_sums::TimeSums;
use super::cycle::GcCycle;
use super::meanwhile::{BlockedMeanwhile, Blocking};
use super::report::{GcReport, ToldCycle};
use super::stop::{HeldUpBy, StopReason, WorldStop};
use crate::units::Nanos;

/// So many are told, the longest.
const MOST: usize = 256;

/// Assists that took one part in so many of the Ps' time while it marked have slowed the program down.
const ASSIST_SHARE: u64 = 10;

/// What took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IncidentKind {
    /// A stop of the world.
    Stop,
    /// A cycle of the collector.
    Cycle,
}

impl IncidentKind {
    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Cycle => "cycle",
        }
    }
}

/// What caused what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The collector kept the program from going on.
    Gc,
    /// Who held the world up was in the kernel: for a page, a disk, or a call that the runtime was not told of.
    Blocking,
    /// There was no CPU for it.
    Starvation,
    /// A goroutine did not yield.
    Holder,
    /// It had nothing to do with the collector, or kept nobody from going on.
    Unrelated,
    /// What was seen does not tell.
    Unknown,
}

impl Verdict {
    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gc => "gc",
            Self::Blocking => "blocking",
            Self::Starvation => "starvation",
            Self::Holder => "holder",
            Self::Unrelated => "unrelated",
            Self::Unknown => "unknown",
        }
    }
}

/// A stop or a cycle that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Which of the two.
    pub kind: IncidentKind,
    /// When it began.
    pub start: Nanos,
    /// How long it took.
    pub duration: Nanos,
    /// The cycle.
    pub cycle: Option<u32>,
    /// What caused what.
    pub verdict: Verdict,
    /// The evidence, in a sentence.
    pub text: String,
    /// The line of code that it is put down to, if it is to one.
    pub site: Site,
    /// Goroutines that were in slow calls or waits meanwhile, the longest first.
    pub blocked: Vec<BlockedMeanwhile>,
    /// How many more there were.
    pub blocked_untold: usize,
    /// Goroutines that became ready meanwhile, and how long they had no P, of those whose waits are told one by one: long
    /// ones, which another goroutine ended, of goroutines that did not idle. None where the scheduler is not probed.
    pub ready: Option<TimeSums>,
    /// How long its control group held the program's threads back between the cycles beside it: at most so long
    /// during it. None when that is not known.
    pub throttled: Option<Nanos>,
}

/// Of a report whose cycles and stops are there; in order.
pub(super) fn incidents(report: &GcReport, blocking: Option<&BlockingReport>) -> Vec<Incident> {
    let blocking = blocking.map(Blocking::of);
    let is_slow = |duration: Nanos| duration >= report.slow_from;
    let stops = report.stops.iter().filter(|stop| stop.total.is_some_and(is_slow));
    let mut incidents: Vec<Incident> = stops.filter_map(|stop| of_stop(stop, report)).collect();
    let cycles = report.cycles.iter().filter(|told| is_slow(told.cycle.duration()));
    let mut of_cycles: HashMap<u32, Vec<&WorldStop>> = HashMap::new();
    for stop in &report.stops {
        if let Some(cycle) = stop.cycle {
            of_cycles.entry(cycle).or_default().push(stop);
        }
    }
    incidents.extend(cycles.map(|told| {
        let stops = of_cycles.get(&told.cycle.number).map_or(&[][..], Vec::as_slice);
        of_cycle(&told.cycle, stops, report)
    }));
    // What has nothing to do with the collector comes last when there are too many.
    incidents.sort_by_key(|one| (one.verdict == Verdict::Unrelated, Reverse(one.duration)));
    incidents.truncate(MOST);
    for incident in &mut incidents {
        if let Some(blocking) = &blocking {
            let end = Nanos(incident.start.0.saturating_add(incident.duration.0));
            (incident.blocked, incident.blocked_untold) = blocking.meanwhile(incident.start, end);
            incident.ready = blocking.ready(incident.start, end);
        }
        if incident.kind == IncidentKind::Cycle && incident.verdict == Verdict::Unrelated {
            incident.text.push_str(&beside(incident));
        }
    }
    incidents.sort_by_key(|incident| (incident.start, incident.duration));
    incidents
}

fn of_stop(stop: &WorldStop, report: &GcReport) -> Option<Incident> {
    let (start, duration) = (stop.start?, stop.total?);
    let throttled = throttled(&report.cycles, start, stop.end());
    let (verdict, text, site) = judge_stop(stop, duration, throttled);
    Some(Incident {
        kind: IncidentKind::Stop,
        start,
        duration,
        cycle: stop.cycle,
        verdict,
        text,
        site,
        blocked: Vec::new(),
        blocked_untold: 0,
        ready: None,
        throttled,
    })
}

fn judge_stop(stop: &WorldStop, duration: Nanos, throttled: Option<Nanos>) -> (Verdict, String, Site) {
    let reason = stop.reason.name();
    let whole = format!("the world was stopped for {} ({reason})", duration.for_people());
    let held_back = throttled.filter(|throttled| throttled.0 >= duration.0 / 2);
    let by_group = |throttled: Nanos| {
        format!(
            "its control group's CPU limit held the program's threads back for {} around then",
            throttled.for_people()
        )
    };
    let stopping = stop.stopping.unwrap_or_default();
    if stopping.0 >= duration.0 / 2 {
        let wait = format!("{whole}, {} of it to wait until it had stopped", stopping.for_people());
        if let Some(holder) = &stop.holder {
            let (verdict, what) = judge_holder(holder);
            let group = match (verdict, held_back) {
                (Verdict::Starvation, Some(throttled)) => format!("; {}", by_group(throttled)),
                _ => String::new(),
            };
            let who = format!("goroutine {}{}", holder.seen.goid, at(&holder.site));
            return (verdict, format!("{wait}: {who} {what}{group}"), holder.site.clone());
        }
        return match held_back {
            Some(throttled) => {
                (Verdict::Starvation, format!("{wait}; {}", by_group(throttled)), Site::Unknown)
            }
            None => (Verdict::Unknown, format!("{wait}; who held it up was not seen"), Site::Unknown),
        };
    }
    if let Some(throttled) = held_back {
        return (Verdict::Starvation, format!("{whole}; {}", by_group(throttled)), Site::Unknown);
    }
    let still = duration.since(stopping).for_people();
    if stop.reason.is_gc() {
        let text = format!(
            "{whole}: it had stopped after {}, and stood still for {still}: the collector's work, as far as it had a CPU",
            stopping.for_people()
        );
        return (Verdict::Gc, text, Site::Unknown);
    }
    let text = format!("{whole}, which{} asked for: not the collector", at(&stop.site));
    (Verdict::Unrelated, text, stop.site.clone())
}

/// Why it did not stop, by what the kernel said of its thread at most of the looks.
fn judge_holder(holder: &HeldUpBy) -> (Verdict, String) {
    let seen = &holder.seen;
    let looks = seen.looks;
    let of = |count: u32| format!("at {count} of {looks} looks");
    let states = [
        (seen.on_cpu, Verdict::Holder, "ran on a CPU and did not yield"),
        (seen.runnable, Verdict::Starvation, "would have run and had no CPU"),
        (seen.disk, Verdict::Blocking, "waited in the kernel for a page or a disk"),
        (seen.sleeping, Verdict::Blocking, "slept in the kernel, without the runtime knowing of the call"),
    ];
    // Of those that are as frequent the first.
    let most = states.iter().max_by_key(|(count, ..)| *count).map_or(0, |(count, ..)| *count);
    match states.iter().find(|(count, ..)| *count == most) {
        Some((count, verdict, what)) if *count > 0 => (*verdict, format!("{what}, {}", of(*count))),
        _ => (Verdict::Unknown, format!("ran still, {}; of its thread nothing is known", of(looks))),
    }
}

fn of_cycle(cycle: &GcCycle, stops: &[&WorldStop], report: &GcReport) -> Incident {
    let throttled = throttled(&report.cycles, cycle.start, cycle.end());
    let (verdict, text, site) = judge_cycle(cycle, stops, throttled);
    Incident {
        kind: IncidentKind::Cycle,
        start: cycle.start,
        duration: cycle.duration(),
        cycle: Some(cycle.number),
        verdict,
        text,
        site,
        blocked: Vec::new(),
        blocked_untold: 0,
        ready: None,
        throttled,
    }
}

/// `stops` are those of the cycle.
fn judge_cycle(cycle: &GcCycle, stops: &[&WorldStop], throttled: Option<Nanos>) -> (Verdict, String, Site) {
    let duration = cycle.duration();
    let whole = format!(
        "the cycle took {}, {} of it while the program went on",
        duration.for_people(),
        cycle.mark.for_people()
    );
    if let Some(throttled) = throttled.filter(|throttled| throttled.0 >= duration.0 / 2) {
        let text = format!(
            "{whole}; its control group's CPU limit held the program's threads back for {} around then",
            throttled.for_people()
        );
        return (Verdict::Starvation, text, Site::Unknown);
    }
    if cycle.sweep_term.plus(cycle.mark_term).0 >= duration.0 / 2 {
        // Then what is true of its longest stop is true of it.
        let longest = stops.iter().max_by_key(|stop| stop.total);
        let judged = longest.and_then(|stop| Some(judge_stop(stop, stop.total?, None)));
        return match judged {
            Some((verdict, text, site)) => (verdict, format!("{whole}; {text}"), site),
            None => (
                Verdict::Gc,
                format!("{whole}; for the rest the world was stopped or stopping"),
                Site::Unknown,
            ),
        };
    }
    let available = cycle.mark.0.saturating_mul(cycle.procs.into());
    if cycle.assist.0 > 0 && cycle.assist.0 >= available / ASSIST_SHARE {
        let text = format!(
            "{whole}; goroutines that allocated were made to help for {} of {} of CPU time",
            cycle.assist.for_people(),
            Nanos(available).for_people()
        );
        return (Verdict::Gc, text, Site::Unknown);
    }
    if cycle.forced {
        let asked = stops.iter().find(|stop| stop.reason == StopReason::SWEEP_TERM);
        let site = asked.map_or(Site::Unknown, |stop| stop.site.clone());
        return (Verdict::Gc, format!("{whole}; who asked for it{} waited", at(&site)), site);
    }
    (Verdict::Unrelated, whole, Site::Unknown)
}

fn beside(incident: &Incident) -> String {
    let count = incident.blocked.len() + incident.blocked_untold;
    let Some(longest) = incident.blocked.first() else {
        return "; nobody is known to have waited for it".to_owned();
    };
    let what = longest.syscall.as_deref().unwrap_or("a system call");
    let object = longest.object.as_ref().map_or_else(String::new, |object| format!(" on {object}"));
    let who = if count == 1 { "one goroutine was".to_owned() } else { format!("{count} goroutines were") };
    format!("; meanwhile {who} blocked, the longest in {what}{object}: the one does not delay the other")
}

/// How long the control group held the threads back between the last cycle that ended long enough before and the first
/// behind it.
fn throttled(cycles: &[ToldCycle], start: Nanos, end: Nanos) -> Option<Nanos> {
    /// The counter is read so long behind the record at most, when nothing holds gotrace up.
    const READ_WITHIN: Nanos = Nanos(50_000_000);
    let reading = |told: &ToldCycle| told.cycle.surroundings.throttled;
    let behind = cycles.partition_point(|told| told.cycle.noted < end);
    let before = cycles.partition_point(|told| told.cycle.noted.0.saturating_add(READ_WITHIN.0) <= start.0);
    let (before, after) = (cycles.get(before.checked_sub(1)?)?, cycles.get(behind)?);
    Some(reading(after)?.since(reading(before)?))
}

fn at(site: &Site) -> String {
    match site.place() {
        Some(place) => format!(" at {}", place.frame()),
        None => String::new(),
    }
}
