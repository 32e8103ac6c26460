//! What a running program was seen to do.

mod calls;
mod now;
mod sites;

use std::io::{self, Write};

use super::page::{chart, end, section};
use super::table::{Cell, Column, Kind};
use super::{account, collector, findings, parking};
use crate::export::BlockingText;
use crate::model::blocking::{BlockingReport, Sums};

/// The first lines of the text report.
pub(super) fn heading(report: &BlockingReport) -> io::Result<Vec<String>> {
    let mut text = Vec::new();
    BlockingText { rows: 0, color: false }.heading(report, &mut text)?;
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

/// Writes the sections.
pub(super) fn write(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    findings::write(&report.all_findings(), out)?;
    sites::sites(report, out)?;
    section("flame", "Flame graph", out)?;
    chart("flame-chart", "Stacks, the outermost function at the top; widths are time or samples", out)?;
    end(out)?;
    now::blocked_now(report, out)?;
    section("objects", "What was waited for", out)?;
    sites::objects(report, out)?;
    end(out)?;
    section("slow", "The slowest calls, in the order of time", out)?;
    chart("slow-chart", "The slowest calls and waits, with the collector's cycles and stops", out)?;
    end(out)?;
    if let Some(gc) = &report.gc {
        collector::write(gc, out)?;
    }
    if let Some(parking) = &report.parking {
        parking::write(parking, out)?;
    }
    calls::rest(report, out)?;
    data(report, out)
}

/// How often and how long: count, median, 99th percentile and maximum.
pub(super) fn times(sums: &Sums) -> [Cell; 4] {
    let longest = sums.longest.for_people();
    let longest = if sums.longest_is_bound { format!("≤ {longest}") } else { longest };
    [
        Cell::count(sums.count),
        Cell::maybe(sums.quantile(500)),
        Cell::maybe(sums.quantile(990)),
        Cell::Number(sums.longest.0, longest),
    ]
}

/// Their columns.
pub(super) const TIMES: [Column; 4] = [
    Column("count", Kind::Number, ""),
    Column("p50 ≤", Kind::Number, "The end of the histogram's bucket: up to a quarter too long"),
    Column("p99 ≤", Kind::Number, "The end of the histogram's bucket: up to a quarter too long"),
    Column("max", Kind::Number, ""),
];

fn data(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    section("lacks", "What the data lack", out)?;
    let losses = &report.losses;
    let by_reason: Vec<String> =
        losses.stacks.iter().map(|(loss, count)| format!("{count} {}", loss.name())).collect();
    let reasons = if by_reason.is_empty() { String::new() } else { format!(" ({})", by_reason.join(", ")) };
    let words = format!(
        "{} calls; lost: {}, undecodable: {}, without their stack: {}{reasons}. By whom is unknown: {}; begun before \
         gotrace came: {}; slow calls {}, without a place for their object {}.",
        losses.calls,
        losses.dropped(),
        losses.undecodable,
        losses.lost_stacks(),
        losses.unknown_callers,
        losses.joined,
        report.slow_count,
        losses.untold_objects
    );
    account::verdict(losses.is_complete(), &words, out)?;
    let of_gc = report.gc.iter().flat_map(|gc| &gc.missing);
    let of_parking = report.parking.iter().flat_map(|parking| &parking.missing);
    account::missing(report.missing.iter().chain(of_gc).chain(of_parking), out)?;
    account::losses(&losses.probes, out)?;
    end(out)
}
