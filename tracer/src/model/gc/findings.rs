//! What stands out in the collector's work. A healthy program has none; README lists the thresholds.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::super::blocking::{Place, Site};
use super::super::findings::Finding;
use super::heap::megabytes;
use super::report::GcReport;
use super::stop::{StopReason, WorldStop};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// The collector takes this share of the CPUs or more, in millionths.
const BUSY: u64 = 250_000;
/// With a heap at its limit it need not be as much: cycles follow each other without the heap getting smaller.
const BUSY_AT_LIMIT: u64 = 100_000;
/// Or they follow each other so closely that it marks for one part in so many of the span.
const MARKS_AT_LIMIT: u64 = 5;
/// So many cycles at least.
const CYCLES: u64 = 3;
/// Assists take one part in so many of the span of one CPU.
const ASSIST_SHARE: u64 = 20;
/// One place stands out from this share of all assists on.
const ASSIST_SITE: f64 = 0.2;
/// So many sites of assists.
const ASSIST_SITES: usize = 3;
/// So many cycles that the program asked for.
const FORCED: u64 = 3;
/// So many stops for the same, and one in so much time.
const FREQUENT: u64 = 5;
const FREQUENT_EVERY: Nanos = Nanos(1_000_000_000);
/// The control group held it back for one part in so many of the span.
const THROTTLED_SHARE: u64 = 20;
/// So many slow stops that the same place held up.
const RECURS: usize = 2;

pub(super) fn findings(report: &GcReport) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(busy(report));
    findings.extend(assists(report));
    findings.extend(forced(report));
    findings.extend(frequent_stops(report));
    findings.extend(throttled(report));
    findings.extend(holders(report));
    findings.sort_by_key(|finding| Reverse(finding.duration));
    findings
}

/// Much of the CPU time goes to the collector.
fn busy(report: &GcReport) -> Option<Finding> {
    let totals = &report.totals;
    let share = report.cpu_share()?;
    let heap = report.heap.as_ref()?;
    let at_limit = totals.at_limit * 2 >= totals.cycles && totals.at_limit > 0;
    let back_to_back = totals.mark.0 >= report.span().0 / MARKS_AT_LIMIT;
    let much = if at_limit { share >= BUSY_AT_LIMIT || back_to_back } else { share >= BUSY };
    if totals.cycles < CYCLES || !much {
        return None;
    }
    let cost = format!(
        "{} cycles in {} took {} % of the CPU time",
        totals.cycles,
        report.span().for_people(),
        share / 10_000
    );
    let live = megabytes(heap.live.last);
    let finding = |id, text, advice| {
        Some(Finding { id, package: None, place: None, duration: totals.cpu, text, advice })
    };
    if at_limit {
        let text = format!(
            "{cost}: GOMEMLIMIT is {}, {} of the cycles had it for a goal, and {live} were live at the last",
            megabytes(heap.memory_limit),
            totals.at_limit
        );
        return finding(
            "gc_thrash",
            text,
            "raise GOMEMLIMIT, or keep less: below the live heap it only costs CPU time",
        );
    }
    let gogc = if heap.gc_percent < 0 { "off".to_owned() } else { heap.gc_percent.to_string() };
    finding(
        "gc_busy",
        format!("{cost}: {live} were live at the last, GOGC is {gogc}"),
        "allocate less where it allocates most, or raise GOGC if there is memory",
    )
}

/// Goroutines that allocate do the collector's work.
fn assists(report: &GcReport) -> Vec<Finding> {
    let all = report.totals.assist;
    if all.0 < report.span().0 / ASSIST_SHARE {
        return Vec::new();
    }
    let sites = report.assist_sites();
    let heavy = sites.iter().filter(|site| site.share >= ASSIST_SITE).take(ASSIST_SITES);
    heavy
        .map(|site| Finding {
            id: "gc_assists",
            package: None,
            place: place(&site.site),
            duration: site.cpu,
            text: format!(
                "made to help the collector {} times while it allocated: {} of CPU time, {:.0} % of all {} of assists",
                site.count,
                site.cpu.for_people(),
                site.share * 100.0,
                all.for_people()
            ),
            advice: "allocate less there: reuse buffers, or allocate in one piece what is known to be needed",
        })
        .collect()
}

/// The program asks for cycles.
fn forced(report: &GcReport) -> Option<Finding> {
    let count = report.totals.forced;
    if count < FORCED {
        return None;
    }
    let cycles = report.cycles.iter().filter(|told| told.cycle.forced);
    let duration = cycles.clone().map(|told| told.cycle.duration().0).fold(0, u64::saturating_add);
    let numbers: Vec<u32> = cycles.map(|told| told.cycle.number).collect();
    let asked = report.stops.iter().filter(|stop| {
        stop.reason == StopReason::SWEEP_TERM
            && stop.cycle.is_some_and(|cycle| numbers.binary_search(&cycle).is_ok())
    });
    let place = most_frequent(asked.map(|stop| &stop.site)).and_then(|(site, _)| place(site));
    Some(Finding {
        id: "gc_forced",
        package: None,
        place,
        duration: Nanos(duration),
        text: format!(
            "{count} of {} cycles were asked for by the program: who asks waits until it is over",
            report.totals.cycles
        ),
        advice: "do not call runtime.GC or debug.FreeOSMemory: the collector begins when the heap has grown",
    })
}

/// The world is stopped again and again for something else than the collector.
fn frequent_stops(report: &GcReport) -> Vec<Finding> {
    let of_reason = |reason: &String| {
        let stops = report.stops.iter().filter(|stop| stop.reason.group() == *reason);
        most_frequent(stops.map(|stop| &stop.site)).and_then(|(site, _)| place(site))
    };
    let often = |count: u64| count >= FREQUENT && count.saturating_mul(FREQUENT_EVERY.0) >= report.span().0;
    let others = report.totals.stops.iter().filter(|(reason, sums)| *reason != "GC" && often(sums.count));
    others
        .map(|(reason, sums)| Finding {
            id: "frequent_stops",
            package: None,
            place: of_reason(reason),
            duration: sums.total,
            text: format!(
                "the world was stopped {} times in {} for {reason}, {} in all, the longest {}",
                sums.count,
                report.span().for_people(),
                sums.total.for_people(),
                sums.longest.for_people()
            ),
            advice: if *reason == StopReason::READ_MEM_STATS.name() {
                "read runtime/metrics instead of runtime.ReadMemStats: it does not stop the world"
            } else {
                "do it less often"
            },
        })
        .collect()
}

/// The control group's CPU limit.
fn throttled(report: &GcReport) -> Option<Finding> {
    let time = report.throttled?;
    (time.0 > 0 && time.0 >= report.span().0 / THROTTLED_SHARE).then(|| Finding {
        id: "cpu_throttled",
        package: None,
        place: None,
        duration: time,
        text: format!(
            "its control group's CPU limit held the program's threads back for {} in {}, all CPUs together",
            time.for_people(),
            report.span().for_people()
        ),
        advice: "raise the CPU limit, or lower GOMAXPROCS to it",
    })
}

/// The same place holds stops up again and again.
fn holders(report: &GcReport) -> Option<Finding> {
    let slow: Vec<&WorldStop> = report
        .stops
        .iter()
        .filter(|stop| stop.holder.is_some() && stop.stopping.is_some_and(|time| time >= report.slow_from))
        .collect();
    let sites = slow.iter().filter_map(|stop| stop.holder.as_ref()).map(|holder| &holder.site);
    let (site, count) = most_frequent(sites)?;
    if count < RECURS {
        return None;
    }
    let of_site = slow.iter().filter(|stop| stop.holder.as_ref().is_some_and(|holder| holder.site == *site));
    let times = of_site.filter_map(|stop| stop.stopping);
    let total = times.clone().map(|time| time.0).fold(0, u64::saturating_add);
    let longest = times.max().unwrap_or_default();
    Some(Finding {
        id: "holds_up_stops",
        package: None,
        place: place(site),
        duration: Nanos(total),
        text: format!(
            "held the world up {count} times when it was to stop, for {} in all, the longest {}",
            Nanos(total).for_people(),
            longest.for_people()
        ),
        advice: "see what it does there: a loop without calls, a page that is not in memory, or too few CPUs",
    })
}

fn most_frequent<'a>(sites: impl Iterator<Item = &'a Site>) -> Option<(&'a Site, usize)> {
    let mut counts: HashMap<&Site, usize> = HashMap::new();
    sites.filter(|site| **site != Site::Unknown).for_each(|site| *counts.entry(site).or_default() += 1);
    counts.into_iter().max_by_key(|(site, count)| (*count, Reverse(*site)))
}

fn place(site: &Site) -> Option<Frame> {
    site.place().map(Place::frame)
}
