//! Why goroutines did not run, for people: one line for what was waited for at one place, the longest first.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::export::printable;
use crate::model::blocking::{Site, Sums};
use crate::model::parking::{Overhead, Parking, ParkingReport, WokenBy};
use crate::target::gobin::Frame;
use crate::units::{Nanos, saturating_sum};

/// How many places are shown.
const ROWS: usize = 15;

/// How many who wake are named.
const WAKERS: usize = 2;

/// What was waited for at one place.
#[derive(Default)]
pub(in crate::export) struct Row<'a> {
    pub(in crate::export) sums: Sums,
    pub(in crate::export) runnable: Nanos,
    /// How often each woke them.
    wakers: BTreeMap<String, u64>,
    origins: Vec<&'a Frame>,
}

impl<'a> Row<'a> {
    fn add(&mut self, parking: &'a Parking) {
        self.sums.add(&parking.sums);
        self.runnable.0 = self.runnable.0.saturating_add(parking.runnable.0);
        let woken = self.wakers.entry(waker(&parking.woken_by)).or_default();
        *woken = saturating_sum([*woken, parking.sums.count, parking.sums.joined]);
        if let Some(origin) = &parking.origin
            && !self.origins.contains(&origin)
        {
            self.origins.push(origin);
        }
    }

    pub(in crate::export) fn woken_by(&self) -> String {
        let mut wakers: Vec<_> = self.wakers.iter().collect();
        wakers.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let mut text: Vec<String> = wakers.iter().take(WAKERS).map(|(name, _)| (*name).clone()).collect();
        if wakers.len() > WAKERS {
            text.push(format!("{} more", wakers.len() - WAKERS));
        }
        text.join(", ")
    }
}

impl ParkingReport {
    pub(in crate::export) fn write_text(&self, color: bool, out: &mut dyn Write) -> io::Result<()> {
        let style = |style: Style| if color { style } else { Style::new() };
        let (bold, dim) = (style(Style::new().bold()), style(Style::new().dimmed()));
        writeln!(out, "{bold}why goroutines waited{bold:#} (--waits)")?;
        self.write_rows(dim, out)?;
        for missing in &self.missing {
            let (function, reason) = (printable(&missing.function), printable(&missing.reason));
            let without = match &*missing.probe {
                "made_ready" => "who woke them, and how long they had no P then, is not told",
                _ => "their stacks are not whole",
            };
            writeln!(out, "  {without}: {function}: {reason}")?;
        }
        let warn = style(AnsiColor::Yellow.on_default());
        write_overhead(&self.overhead, self.undecodable, [dim, warn], out)
    }

    /// By place and reason, the longest first, and the sum of those that had nothing to do.
    #[expect(clippy::type_complexity, reason = "a row with its key")]
    pub(in crate::export) fn rows(&self) -> (Vec<((&Site, &str), Row<'_>)>, Sums) {
        let mut rows: BTreeMap<(&Site, &str), Row<'_>> = BTreeMap::new();
        let mut idle = Sums::default();
        for parking in &self.parkings {
            if parking.idle.is_some() {
                idle.add(&parking.sums);
                continue;
            }
            rows.entry((&parking.site, parking.reason.as_str())).or_default().add(parking);
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(_, row)| std::cmp::Reverse((row.sums.total, row.sums.joined)));
        (rows, idle)
    }

    fn write_rows(&self, dim: Style, out: &mut dyn Write) -> io::Result<()> {
        let (rows, idle) = self.rows();
        if rows.is_empty() {
            writeln!(out, "  none was parked and ran again")?;
        }
        for ((site, reason), row) in rows.iter().take(ROWS) {
            let sums = &row.sums;
            let joined =
                if sums.joined == 0 { String::new() } else { format!(" + {} from before", sums.joined) };
            writeln!(
                out,
                "  {:>10}  {:>8}×{joined}  {}  {}",
                sums.total.for_people(),
                sums.count,
                printable(reason),
                place(site)
            )?;
            if sums.count == 0 {
                continue;
            }
            let quantile = |thousandths| sums.quantile(thousandths).unwrap_or_default().for_people();
            writeln!(
                out,
                "              {dim}p50 {}, p99 {}, longest {}; ready without a P {}; woken by {}{dim:#}",
                quantile(500),
                quantile(990),
                sums.longest.for_people(),
                row.runnable.for_people(),
                row.woken_by()
            )?;
        }
        if rows.len() > ROWS {
            let rest = saturating_sum(rows.iter().skip(ROWS).map(|(_, row)| row.sums.total.0));
            writeln!(out, "  {:>10}  at {} more places", Nanos(rest).for_people(), rows.len() - ROWS)?;
        }
        if idle.count > 0 || idle.joined > 0 {
            writeln!(
                out,
                "  {dim}{:>10}  {:>8}×  with nothing to do: accept loops, idle connections, the collector's workers{dim:#}",
                idle.total.for_people(),
                idle.count
            )?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with two digits after the point")]
pub(in crate::export) fn write_overhead(
    overhead: &Overhead,
    undecodable: u64,
    [dim, warn]: [Style; 2],
    out: &mut dyn Write,
) -> io::Result<()> {
    let percent = |millionths: u64| format!("{:.2} %", millionths as f64 / 1e4);
    if overhead.one_in > 1 {
        let after = overhead.sampled.unwrap_or_default().since(overhead.armed);
        writeln!(
            out,
            "  {warn}1 in {} goroutines was followed at the end, all of them for the first {}: counts are of those, and not scaled{warn:#}",
            overhead.one_in,
            after.for_people()
        )?;
    }
    if let Some(detached) = overhead.detached {
        writeln!(
            out,
            "  {warn}the probes were taken away after {}: {}; --max-overhead allows more{warn:#}",
            detached.at.since(overhead.armed).for_people(),
            detached.reason(overhead.trap)
        )?;
    }
    writeln!(
        out,
        "  {dim}cost: {} hits × {} = {}, {} of one processor in {} (at most {}); trap {} measured here, the rest in the handlers{dim:#}",
        overhead.hits,
        overhead.per_hit().for_people(),
        overhead.cost().for_people(),
        percent(overhead.share()),
        overhead.span.for_people(),
        percent(overhead.budget),
        overhead.trap.for_people()
    )?;
    writeln!(
        out,
        "  {dim}{} hits could not be summed up, {undecodable} sums were undecodable{dim:#}\n",
        overhead.dropped
    )
}

fn waker(woken_by: &WokenBy) -> String {
    match woken_by {
        WokenBy::Main => "the main goroutine".to_owned(),
        WokenBy::Goroutine(Some(origin)) => printable(&format!(
            "a goroutine made at {}",
            line_of(&origin.function, origin.file.as_deref(), origin.line)
        )),
        WokenBy::Goroutine(None) => "a goroutine".to_owned(),
        WokenBy::Timer => "its timer".to_owned(),
        WokenBy::Poller => "the network poller".to_owned(),
        WokenBy::Runtime => "the runtime (a timer or the scheduler)".to_owned(),
        WokenBy::Unseen => "nobody that was seen".to_owned(),
        WokenBy::Unknown => "a thread that runs no known goroutine".to_owned(),
    }
}

pub(in crate::export) fn place(site: &Site) -> String {
    let Some(place) = site.place() else { return "(place not known)".to_owned() };
    let line = printable(&line_of(&place.function, place.file.as_deref(), place.line));
    match site {
        Site::MadeAt(_) => format!("in a goroutine made at {line}"),
        _ => line,
    }
}

fn line_of(function: &str, file: Option<&str>, line: u32) -> String {
    match file {
        Some(file) => format!("{function} {}:{line}", file.rsplit('/').next().unwrap_or(file)),
        None => function.to_owned(),
    }
}
