//! The garbage collector for people: one line when there is nothing to tell.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::export::printable;
use crate::model::gc::{
    AllocationRate, AssistSite, BlockedMeanwhile, Course, GcReport, Incident, NO_LIMIT, Verdict, megabytes,
};
use crate::units::Nanos;

/// How many incidents are shown, and how many who were blocked during one.
const INCIDENTS: usize = 6;
const BLOCKED: usize = 2;

/// How many places that assisted are shown, when assists took one part in so many of the span.
const ASSISTS: usize = 3;
const ASSIST_SHARE: u64 = 100;
const NOTABLE_SHARE: f64 = 0.01;

/// A heap goal from this on is none: GOGC is off, and no limit is set.
const NO_GOAL: u64 = 1 << 50;

impl GcReport {
    /// Writes the part.
    ///
    /// # Errors
    /// Only those of the writer.
    pub(in crate::export) fn write_text(&self, color: bool, out: &mut dyn Write) -> io::Result<()> {
        let style = |style: Style| if color { style } else { Style::new() };
        let (bold, dim) = (style(Style::new().bold()), style(Style::new().dimmed()));
        let warn = style(AnsiColor::Yellow.on_default());
        writeln!(out, "{bold}GC:{bold:#} {}", self.verdict())?;
        if self.refused.is_none() {
            self.write_heap(dim, out)?;
            self.write_stops(dim, out)?;
            self.write_incidents([dim, warn], out)?;
            self.write_assists(dim, out)?;
        }
        for missing in &self.missing {
            let (function, reason) = (printable(&missing.function), printable(&missing.reason));
            writeln!(out, "  {dim}not seen: {} ({function}): {reason}{dim:#}", printable(&missing.probe))?;
        }
        writeln!(out)
    }

    /// The whole of it in a line.
    #[must_use]
    pub(in crate::export) fn verdict(&self) -> String {
        if self.refused.is_some() {
            return "not told, because what was read cannot be believed".to_owned();
        }
        let totals = &self.totals;
        let cycles = match (totals.cycles, self.cpu_share()) {
            (0, _) if self.gc_percent.is_some_and(|percent| percent < 0) => {
                "no cycle, GOGC is off".to_owned()
            }
            (0, _) => "no cycle".to_owned(),
            (1, share) => format!("1 cycle, {} of CPU", percent(share)),
            (count, share) => format!("{count} cycles, {} of CPU", percent(share)),
        };
        let missed = match totals.missed {
            0 => String::new(),
            missed => format!(" ({missed} more were not seen)"),
        };
        let longest = self.longest_stop();
        if longest == Nanos(0) {
            return format!("{cycles}{missed}, the world was not stopped");
        }
        let above = match self.slow_stops() {
            0 => "nothing".to_owned(),
            1 => "1 stop".to_owned(),
            count => format!("{count} stops"),
        };
        let (longest, slow) = (longest.for_people(), self.slow_from.for_people());
        format!("{cycles}{missed}, longest stop {longest}, {above} above {slow}")
    }

    /// The heap's course, in a line.
    ///
    /// # Errors
    /// Only those of the writer.
    pub(in crate::export) fn write_heap(&self, dim: Style, out: &mut dyn Write) -> io::Result<()> {
        let Some(heap) = &self.heap else { return Ok(()) };
        let changed = |changed: bool| if changed { " (changed)" } else { "" };
        let percent = match heap.gc_percent {
            ..0 => "off".to_owned(),
            percent => percent.to_string(),
        };
        let limit =
            if heap.memory_limit >= NO_LIMIT { "none".to_owned() } else { megabytes(heap.memory_limit) };
        let goal = if heap.goal.most >= NO_GOAL { "none".to_owned() } else { course(&heap.goal) };
        let rss = heap.rss.map_or_else(String::new, |rss| format!(", RSS {}", course(&rss)));
        let rate = allocation(&heap.allocation);
        writeln!(
            out,
            "  {dim}heap live {}, goal {goal}, GOGC {percent}{}, GOMEMLIMIT {limit}{}{rss}{rate}{dim:#}",
            course(&heap.live),
            changed(heap.gc_percent_changed),
            changed(heap.memory_limit_changed)
        )
    }

    /// What else than the collector stopped the world.
    fn write_stops(&self, dim: Style, out: &mut dyn Write) -> io::Result<()> {
        let others = self.totals.stops.iter().filter(|(reason, _)| *reason != "GC");
        let others: Vec<String> = others
            .map(|(reason, sums)| {
                let (total, longest) = (sums.total.for_people(), sums.longest.for_people());
                format!("{}× {} ({total}, longest {longest})", sums.count, printable(reason))
            })
            .collect();
        if !others.is_empty() {
            writeln!(out, "  {dim}stopped as well for: {}{dim:#}", others.join(", "))?;
        }
        let untold = (self.totals.untold_cycles, self.totals.untold_stops);
        if untold != (0, 0) {
            let (cycles, stops) = untold;
            writeln!(out, "  {dim}{cycles} cycles and {stops} stops are in the sums alone{dim:#}")?;
        }
        Ok(())
    }

    /// The longest of those that have the same verdict at the same place.
    fn write_incidents(&self, [dim, warn]: [Style; 2], out: &mut dyn Write) -> io::Result<()> {
        let mut alike: BTreeMap<_, (usize, &Incident)> = BTreeMap::new();
        for incident in self.incidents.iter().filter(|incident| incident.verdict != Verdict::Unrelated) {
            let key = (incident.kind.name(), incident.verdict, &incident.site);
            let (count, longest) = alike.entry(key).or_insert((0, incident));
            *count += 1;
            if incident.duration > longest.duration {
                *longest = incident;
            }
        }
        let mut alike: Vec<(usize, &Incident)> = alike.into_values().collect();
        alike.sort_by_key(|(_, longest)| std::cmp::Reverse(longest.duration));
        for (count, incident) in alike.iter().take(INCIDENTS) {
            let duration = incident.duration.for_people();
            let verdict = words(incident.verdict);
            let times = if *count == 1 { String::new() } else { format!(" ({count}×, this the longest)") };
            writeln!(out, "  {warn}{duration:>9}{warn:#}  {verdict}{times}: {}", printable(&incident.text))?;
            for one in incident.blocked.iter().take(BLOCKED) {
                writeln!(out, "             {dim}{}{dim:#}", printable(&meanwhile(one)))?;
            }
            if let Some(ready) = incident.ready.filter(|ready| ready.count > 0) {
                writeln!(
                    out,
                    "             {dim}became ready meanwhile: {} (of those told by --waits), without a P for {} at most, {} in all{dim:#}",
                    ready.count,
                    ready.longest.for_people(),
                    ready.total.for_people()
                )?;
            }
        }
        let told: usize = alike.iter().skip(INCIDENTS).map(|(count, _)| count).sum();
        if told > 0 {
            writeln!(out, "  {dim}and {told} more, in the NDJSON report{dim:#}")?;
        }
        Ok(())
    }

    fn write_assists(&self, dim: Style, out: &mut dyn Write) -> io::Result<()> {
        let all = self.totals.assist;
        if all == Nanos(0) || all.0 < self.span().0 / ASSIST_SHARE {
            return Ok(());
        }
        writeln!(out, "  {} of CPU time in goroutines that were made to help:", all.for_people())?;
        let notable = self.assist_sites().into_iter().filter(|site| site.share >= NOTABLE_SHARE);
        for site in notable.take(ASSISTS) {
            let AssistSite { count, cpu, share, .. } = &site;
            let place = site
                .site
                .place()
                .map_or("(place not known)".to_owned(), |place| printable(&place.frame().to_string()));
            writeln!(
                out,
                "  {:>9}  {:>3.0} %  {count:>6}×  {dim}allocating at{dim:#} {place}",
                cpu.for_people(),
                share * 100.0
            )?;
        }
        Ok(())
    }
}

pub(in crate::export) fn meanwhile(blocked: &BlockedMeanwhile) -> String {
    let what = blocked.syscall.as_deref().unwrap_or("a system call");
    let object = blocked.object.as_ref().map_or_else(String::new, |object| format!(", {object}"));
    let lasted = blocked.duration.map_or_else(|| "?".to_owned(), Nanos::for_people);
    let place = blocked.site.place().map_or_else(String::new, |place| format!(" at {}", place.frame()));
    format!("meanwhile blocked for {lasted}: {what}{object}{place}")
}

/// The verdict for people.
pub(in crate::export) const fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Gc => "the collector's doing",
        Verdict::Blocking => "blocking delayed it",
        Verdict::Starvation => "too little CPU",
        Verdict::Holder => "a goroutine did not yield",
        Verdict::Unrelated => "not the collector",
        Verdict::Unknown => "cause not seen",
    }
}

/// How fast it allocated; apart for the time while it marked and that between cycles where both are known.
fn allocation(rate: &AllocationRate) -> String {
    let Some(overall) = rate.overall else { return String::new() };
    let apart = rate.marking.zip(rate.between).map_or_else(String::new, |(marking, between)| {
        format!(" ({}/s while it marks, {}/s between)", megabytes(marking), megabytes(between))
    });
    format!("; allocates {}/s{apart}", megabytes(overall))
}

/// From the first to the last, and the greatest where that is neither.
fn course(course: &Course) -> String {
    let Course { first, last, most } = *course;
    let most = if most > first.max(last) { format!(" (at most {})", megabytes(most)) } else { String::new() };
    if first == last {
        return format!("{}{most}", megabytes(last));
    }
    format!("{} -> {}{most}", megabytes(first), megabytes(last))
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
pub(super) fn percent(millionths: Option<u64>) -> String {
    millionths.map_or_else(|| "? %".to_owned(), |millionths| format!("{:.1} %", millionths as f64 / 1e4))
}
