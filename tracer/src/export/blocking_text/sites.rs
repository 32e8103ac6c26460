//! Where goroutines were blocked: by line of code, by go statement, by object.

use std::io::{self, Write};

use super::super::printable;
use super::super::text::shares::share;
use super::{BlockingText, origin_name, site_name};
use crate::event::blocking::Kind;
use crate::model::blocking::{BlockingReport, Entry, Group, Sums};
use crate::units::Nanos;

impl BlockingText {
    pub(super) fn sites(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let (bold, dim) = (self.bold(), self.dim());
        let all = report.suffered_total();
        let sites = report.by_site();
        if sites.is_empty() {
            writeln!(out, "no goroutine was blocked for {} or more\n", report.stack_from.for_people())?;
        } else {
            let (count, sites) = (sites.len(), self.shown(sites));
            let which = if sites.len() < count {
                format!("the {} costliest of {count} places", sites.len())
            } else {
                format!("{count} {}", if count == 1 { "place" } else { "places" })
            };
            writeln!(out, "{bold}where goroutines were blocked{bold:#}, {which}")?;
            writeln!(
                out,
                "  {dim}{:>9}  {:>6}  {:>7}  {:>9}  {:>9}  {:>9}  {:<7}  at{dim:#}",
                "total", "share", "count", "p50 <=", "p99 <=", "max", "for"
            )?;
            for group in &sites {
                let (site, cause) = &group.key;
                let sums = &group.sums;
                writeln!(
                    out,
                    "  {:>9}  {:>6}  {:>7}  {}  {:<7}  {}",
                    sums.total.for_people(),
                    share(sums.total.0, all.0),
                    sums.count,
                    spread(sums),
                    cause.name(),
                    site_name(site),
                )?;
                writeln!(out, "  {dim}{:>63}{}{dim:#}", "", what(group))?;
            }
            writeln!(out)?;
        }
        self.without_retry(report, out)?;
        self.origins(report, out)?;
        self.objects(report, out)
    }

    /// Deadlines that passed.
    fn without_retry(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let waits = self.shown(report.without_retry());
        if waits.is_empty() {
            return Ok(());
        }
        let (bold, dim) = (self.bold(), self.dim());
        writeln!(
            out,
            "{bold}waits that ended without another try{bold:#}: the deadline passed, or they were told to stop;\n  \
             {dim}where the goroutine made its next call{dim:#}"
        )?;
        for group in &waits {
            let (site, cause) = &group.key;
            writeln!(
                out,
                "  {:>7} of at most {:>9}  {:<7}  {}  {dim}{}{dim:#}",
                group.sums.count,
                group.sums.longest.for_people(),
                cause.name(),
                site_name(site),
                what(group)
            )?;
        }
        writeln!(out)
    }

    fn origins(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let origins = self.shown(report.by_origin());
        // With one the table says nothing that the sites do not.
        if origins.len() < 2 {
            return Ok(());
        }
        let bold = self.bold();
        writeln!(out, "{bold}by the go statement that made the goroutine{bold:#}")?;
        let all = report.suffered_total();
        for group in &origins {
            let (total, count) = (group.sums.total, group.sums.count);
            let place = printable(&origin_name(&group.key.frame()));
            writeln!(out, "  {:>9}  {:>6}  {count:>7}  {place}", total.for_people(), share(total.0, all.0))?;
        }
        writeln!(out)
    }

    fn objects(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let objects = self.shown(report.by_object());
        if objects.is_empty() {
            return Ok(());
        }
        let (bold, dim) = (self.bold(), self.dim());
        let from = report.slow_from.for_people();
        writeln!(
            out,
            "{bold}by what was waited for{bold:#}, {dim}waits and calls of {from} and more{dim:#}"
        )?;
        for (name, sums) in &objects {
            writeln!(
                out,
                "  {:>9}  {:>7}  max {:>9}  {}",
                sums.total.for_people(),
                sums.count,
                sums.longest.for_people(),
                printable(name)
            )?;
        }
        writeln!(out)
    }
}

/// What they did, on what, made by whom: of the costliest.
pub(in super::super) fn what<K>(group: &Group<K>) -> String {
    let entry = &group.largest;
    let mut parts = vec![call(entry)];
    if let Some((name, _)) = group.objects.first() {
        let more = group.objects.len() - 1;
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        parts.push(format!("{}{more}", printable(name)));
    } else if let Some(object_type) = entry.object_type() {
        parts.push(object_type.to_owned());
    }
    if group.sums.errors > 0 {
        parts.push(format!("{} failed", group.sums.errors));
    }
    if let Some(goid) = entry.worst.as_ref().and_then(|worst| worst.call.goid) {
        parts.push(format!("longest in goroutine {goid}"));
    }
    parts.join(", ")
}

fn call(entry: &Entry) -> String {
    match entry.key.kind {
        Kind::Call => entry.syscall(),
        Kind::NetworkWait | Kind::NoRetry => format!("{} (in the poller)", entry.syscall()),
    }
}

/// Median, 99th percentile and maximum, in columns.
pub(super) fn spread(sums: &Sums) -> String {
    let quantile = |thousandths| sums.quantile(thousandths).map_or_else(|| "-".to_owned(), Nanos::for_people);
    format!("{:>9}  {:>9}  {:>9}", quantile(500), quantile(990), longest(sums))
}

/// The longest; within an interval perhaps only known to be no longer.
fn longest(sums: &Sums) -> String {
    let bound = if sums.longest_is_bound { "<=" } else { "" };
    format!("{bound}{}", sums.longest.for_people())
}
