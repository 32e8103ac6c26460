//! The lines about the garbage collector. Fields may be added, never renamed.

use std::collections::BTreeMap;
use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::export::functions;
use crate::export::header::write_line;
use crate::export::shared_lines::{FindingLine, MissingLine};
use crate::model::TimeSums;
use crate::model::gc::{GcReport, HeldUpBy, Incident, ToldCycle, WorldStop};
use crate::units::Nanos;

/// A line about the garbage collector, among those of run, watch and attach.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "GcLine")]
enum Line<'a> {
    /// A cycle, with the figures that the runtime itself keeps.
    Gc {
        cycle: u32,
        trigger: Option<&'static str>,
        forced: bool,
        leaks: bool,
        partial: bool,
        start_ns: Nanos,
        stw_sweep_term_ns: Nanos,
        mark_ns: Nanos,
        stw_mark_term_ns: Nanos,
        assist_ns: Nanos,
        dedicated_ns: Nanos,
        fractional_ns: Nanos,
        idle_ns: Nanos,
        stw_sweep_term_cpu_ns: Nanos,
        stw_mark_term_cpu_ns: Nanos,
        heap_start_bytes: u64,
        heap_end_bytes: u64,
        heap_marked_bytes: u64,
        heap_live_bytes: u64,
        heap_goal_bytes: u64,
        stack_scan_bytes: u64,
        globals_scan_bytes: u64,
        procs: u32,
        gc_cpu_fraction: f64,
        pause_ns: Nanos,
        gc_percent: i32,
        memory_limit_bytes: u64,
        at_memory_limit: bool,
        alloc_bytes: u64,
        rss_bytes: Option<u64>,
        missed_before: u32,
        #[serde(flatten)]
        charged: Option<Charged<'a>>,
    },
    /// The world was stopped.
    Stw {
        reason: String,
        start_ns: Option<Nanos>,
        stopping_ns: Option<Nanos>,
        stopped_ns: Option<Nanos>,
        total_ns: Option<Nanos>,
        total_is_estimated: bool,
        cycle: Option<u32>,
        goid: Option<u64>,
        created_by: Option<String>,
        stack: Vec<String>,
        looks: u32,
        held_up_by: Option<Holder>,
    },
    /// A cycle or a stop that took long, and why.
    GcIncident {
        kind: &'static str,
        start_ns: Nanos,
        duration_ns: Nanos,
        cycle: Option<u32>,
        verdict: &'static str,
        text: &'a str,
        site: Option<String>,
        blocked: Vec<Blocked<'a>>,
        blocked_untold: usize,
        /// Goroutines that became ready meanwhile, of those that had waited for long until another one ended that, and
        /// how long they had no P. None without `--waits`.
        ready: Option<Ready>,
        throttled_ns: Option<Nanos>,
    },
    /// Goroutines that were made to help, by where they allocated.
    GcAssist { count: u64, share: f64, cpu_ns: Nanos, created_by: Option<String>, stack: Vec<String> },
    /// What stands out.
    Finding(FindingLine<'a>),
    /// What could not be seen, and why.
    Missing(MissingLine<'a>),
    /// The sums of them all.
    GcSummary {
        refused: Option<&'a str>,
        gc_percent: Option<i32>,
        cycles: u64,
        cycles_missed: u64,
        cycles_untold: u64,
        stops: BTreeMap<&'a str, Stops>,
        stops_untold: u64,
        pause_total_ns: Nanos,
        longest_stop_ns: Nanos,
        stw_slow_ns: Nanos,
        gc_cpu_ns: Nanos,
        gc_idle_cpu_ns: Nanos,
        assist_ns: Nanos,
        /// Of the CPU time on all Ps in the span.
        gc_cpu_share: Option<f64>,
        mark_ns: Nanos,
        forced: u64,
        at_memory_limit: u64,
        alloc_bytes_per_s: Option<u64>,
        /// While the collector marked.
        alloc_bytes_per_s_marking: Option<u64>,
        /// Between the cycles.
        alloc_bytes_per_s_between: Option<u64>,
        rss_max_bytes: Option<u64>,
        throttled_ns: Option<Nanos>,
        span_ns: Nanos,
    },
}

#[derive(Serialize, JsonSchema)]
struct Charged<'a> {
    phase: &'static str,
    package: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
struct Holder {
    goid: u64,
    tid: u32,
    created_by: Option<String>,
    stack: Vec<String>,
    running: u32,
    looks: u32,
    on_cpu: u32,
    runnable: u32,
    disk: u32,
    sleeping: u32,
}

#[derive(Serialize, JsonSchema)]
struct Blocked<'a> {
    goid: Option<u64>,
    syscall: Option<&'a str>,
    object: Option<&'a str>,
    start_ns: Option<Nanos>,
    duration_ns: Option<Nanos>,
    site: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Ready {
    count: u64,
    total_ns: Nanos,
    longest_ns: Nanos,
}

#[derive(Serialize, JsonSchema)]
struct Stops {
    count: u64,
    total_ns: Nanos,
    max_ns: Nanos,
}

/// The schema of its lines.
pub(in crate::export) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Line<'static>>()
}

impl GcReport {
    /// Writes the lines.
    ///
    /// # Errors
    /// Only those of the writer.
    pub(in crate::export) fn write_ndjson(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = |line: &Line<'_>| write_line(out, line);
        self.cycles.iter().try_for_each(|told| line(&cycle(told)))?;
        self.stops.iter().try_for_each(|stop| line(&stop_line(stop)))?;
        self.incidents.iter().try_for_each(|one| line(&incident(one)))?;
        for site in &self.assists {
            line(&Line::GcAssist {
                count: site.count,
                share: site.share,
                cpu_ns: site.cpu,
                created_by: site.origin.as_ref().map(ToString::to_string),
                stack: functions(&site.stack),
            })?;
        }
        self.findings.iter().try_for_each(|finding| line(&Line::Finding(FindingLine::of(finding))))?;
        self.missing.iter().try_for_each(|missing| line(&Line::Missing(MissingLine::of(missing))))?;
        line(&self.summary_line())
    }

    #[expect(clippy::cast_precision_loss, reason = "millionths")]
    fn summary_line(&self) -> Line<'_> {
        let totals = &self.totals;
        let heap = self.heap.as_ref();
        let allocation = heap.map(|heap| heap.allocation).unwrap_or_default();
        Line::GcSummary {
            refused: self.refused.as_deref(),
            gc_percent: self.gc_percent,
            cycles: totals.cycles,
            cycles_missed: totals.missed,
            cycles_untold: totals.untold_cycles,
            stops: totals.stops.iter().map(|(reason, sums)| (reason.as_str(), Stops::of(sums))).collect(),
            stops_untold: totals.untold_stops,
            pause_total_ns: totals.pause,
            longest_stop_ns: self.longest_stop(),
            stw_slow_ns: self.slow_from,
            gc_cpu_ns: totals.cpu,
            gc_idle_cpu_ns: totals.idle,
            assist_ns: totals.assist,
            gc_cpu_share: self.cpu_share().map(|millionths| millionths as f64 / 1e6),
            mark_ns: totals.mark,
            forced: totals.forced,
            at_memory_limit: totals.at_limit,
            alloc_bytes_per_s: allocation.overall,
            alloc_bytes_per_s_marking: allocation.marking,
            alloc_bytes_per_s_between: allocation.between,
            rss_max_bytes: heap.and_then(|heap| heap.rss).map(|rss| rss.most),
            throttled_ns: self.throttled,
            span_ns: self.span(),
        }
    }
}

impl Stops {
    fn of(sums: &TimeSums) -> Self {
        Self { count: sums.count, total_ns: sums.total, max_ns: sums.longest }
    }
}

fn cycle(told: &ToldCycle) -> Line<'_> {
    let cycle = &told.cycle;
    Line::Gc {
        cycle: cycle.number,
        trigger: told.trigger.map(crate::model::gc::Trigger::name),
        forced: cycle.forced,
        leaks: told.leaks,
        partial: cycle.partial,
        start_ns: cycle.start,
        stw_sweep_term_ns: cycle.sweep_term,
        mark_ns: cycle.mark,
        stw_mark_term_ns: cycle.mark_term,
        assist_ns: cycle.assist,
        dedicated_ns: cycle.dedicated,
        fractional_ns: cycle.fractional,
        idle_ns: cycle.idle,
        stw_sweep_term_cpu_ns: cycle.sweep_term_cpu(),
        stw_mark_term_cpu_ns: cycle.mark_term_cpu(),
        heap_start_bytes: cycle.heap_start,
        heap_end_bytes: cycle.heap_end,
        heap_marked_bytes: cycle.heap_marked,
        heap_live_bytes: cycle.heap_live,
        heap_goal_bytes: cycle.heap_goal,
        stack_scan_bytes: cycle.stack_scan,
        globals_scan_bytes: cycle.globals_scan,
        procs: cycle.procs,
        gc_cpu_fraction: cycle.cpu_fraction,
        pause_ns: cycle.pause,
        gc_percent: cycle.gc_percent,
        memory_limit_bytes: cycle.memory_limit,
        at_memory_limit: cycle.at_limit,
        alloc_bytes: cycle.allocated,
        rss_bytes: cycle.surroundings.rss,
        missed_before: cycle.missed_before,
        charged: told
            .charged
            .as_ref()
            .map(|charged| Charged { phase: charged.phase.name(), package: charged.package.as_deref() }),
    }
}

fn stop_line(stop: &WorldStop) -> Line<'_> {
    Line::Stw {
        reason: stop.reason.name(),
        start_ns: stop.start,
        stopping_ns: stop.stopping,
        stopped_ns: stop.stopped(),
        total_ns: stop.total,
        total_is_estimated: stop.total_is_estimated,
        cycle: stop.cycle,
        goid: stop.goid,
        created_by: stop.origin.as_ref().map(ToString::to_string),
        stack: functions(&stop.stack),
        looks: stop.looks,
        held_up_by: stop.holder.as_ref().map(holder),
    }
}

fn holder(holder: &HeldUpBy) -> Holder {
    let seen = &holder.seen;
    Holder {
        goid: seen.goid,
        tid: seen.tid,
        created_by: holder.origin.as_ref().map(ToString::to_string),
        stack: functions(&holder.stack),
        running: seen.running,
        looks: seen.looks,
        on_cpu: seen.on_cpu,
        runnable: seen.runnable,
        disk: seen.disk,
        sleeping: seen.sleeping,
    }
}

fn incident(incident: &Incident) -> Line<'_> {
    let site = |site: &crate::model::blocking::Site| site.place().map(|place| place.frame().to_string());
    let blocked = incident.blocked.iter().map(|one| Blocked {
        goid: one.goid,
        syscall: one.syscall.as_deref(),
        object: one.object.as_deref(),
        start_ns: one.start,
        duration_ns: one.duration,
        site: site(&one.site),
    });
    Line::GcIncident {
        kind: incident.kind.name(),
        start_ns: incident.start,
        duration_ns: incident.duration,
        cycle: incident.cycle,
        verdict: incident.verdict.name(),
        text: &incident.text,
        site: site(&incident.site),
        blocked: blocked.collect(),
        blocked_untold: incident.blocked_untold,
        ready: incident.ready.map(|ready| Ready {
            count: ready.count,
            total_ns: ready.total,
            longest_ns: ready.longest,
        }),
        throttled_ns: incident.throttled,
    }
}
