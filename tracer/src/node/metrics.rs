//! What is known, in the formats of OpenMetrics and Prometheus.

use std::fmt::{self, Write as _};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeMetric as _,
    MetricEncoder, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::blocking;
use super::collection::collections_time;
use super::figures::seconds;
use super::processes::processes;
use super::state::{Shared, State};
use super::workload::{Workload, label};
use crate::target::process::Process;
use crate::units::{Nanos, clock_time};

/// The Content-Type of [`open_metrics`].
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The Content-Type of [`prometheus`].
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// In the format of OpenMetrics.
pub(super) fn open_metrics(state: &Shared) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(state.clone()));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// In Prometheus's own text format, whose families of counters have their samples' names.
pub(super) fn prometheus(open_metrics: &str) -> String {
    let mut counter = None;
    let mut out = String::with_capacity(open_metrics.len());
    let lines: Vec<&str> = open_metrics.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(rest) = line.strip_prefix("# ") else {
            out.extend([line, "\n"]);
            continue;
        };
        let mut words = rest.splitn(3, ' ');
        let (Some(kind), Some(name), Some(text)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        if kind == "HELP" {
            let is_counter =
                lines.get(index + 1).is_some_and(|next| *next == format!("# TYPE {name} counter"));
            counter = is_counter.then_some(name);
        }
        let suffix = if counter == Some(name) { "_total" } else { "" };
        let _ = writeln!(out, "# {kind} {name}{suffix} {text}");
    }
    out
}

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let state = self.lock();
        starts(&state, &mut encoder)?;
        last(&state, &mut encoder)?;
        blocking::encode(&state, &mut encoder)?;
        running(&state, &mut encoder)?;
        processes(&state, &mut encoder)?;
        own(&state, &mut encoder)
    }
}

pub(super) type Labels = Vec<(&'static str, String)>;

pub(super) fn of(workload: &Workload, more: &'static str, value: String) -> (Workload, Labels) {
    (workload.clone(), vec![(more, value)])
}

fn starts(state: &State, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let all = state.workloads.sorted();
    let help = "Time from the end of execve to main.main";
    let mut family =
        encoder.encode_descriptor("gotrace_startup_seconds", help, None, MetricType::Histogram)?;
    for (workload, figures) in &all {
        figures.to_main.encode(family.encode_family(*workload)?)?;
    }
    let help = "Time from the end of execve to when main.main has begun and a TCP socket listens";
    let mut family =
        encoder.encode_descriptor("gotrace_startup_ready_seconds", help, None, MetricType::Histogram)?;
    for (workload, figures) in &all {
        if let Some(ready) = &figures.ready {
            ready.encode(family.encode_family(*workload)?)?;
        }
    }
    let help = "Time that the probes took of all starts, at least: hits times what one costs gotrace itself";
    let mut family = counters(encoder, "gotrace_startup_probes_seconds", help)?;
    for (workload, figures) in &all {
        if let Some(probes) = figures.probes {
            count(&mut family, *workload, seconds(probes))?;
        }
    }
    let help = "Time of all starts in a phase that they came to the end of";
    let mut family = counters(encoder, "gotrace_startup_phase_seconds", help)?;
    for (workload, figures) in &all {
        for (phase, time) in &figures.phases {
            count(&mut family, &of(workload, "phase", (*phase).to_owned()), seconds(*time))?;
        }
    }
    let help = "Starts by how they ended: in main.main, with the process, or by another program in its place";
    let mut family = counters(encoder, "gotrace_starts", help)?;
    for (workload, figures) in &all {
        for (outcome, starts) in &figures.outcomes {
            count(&mut family, &of(workload, "outcome", outcome.name().to_owned()), *starts)?;
        }
    }
    let help = "Starts that had begun before their binary was watched";
    let mut family = counters(encoder, "gotrace_starts_joined_late", help)?;
    for (workload, figures) in all.iter().filter(|(_, figures)| figures.joined_late > 0) {
        count(&mut family, *workload, figures.joined_late)?;
    }
    Ok(())
}

fn last(state: &State, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let all: Vec<_> = state.workloads.sorted();
    let all = || all.iter().filter_map(|(workload, figures)| Some((*workload, figures.last.as_ref()?)));
    let help = "Time from the end of execve to main.main of the last start";
    let mut family = gauges(encoder, "gotrace_last_startup_seconds", help)?;
    for (workload, last) in all() {
        gauge(&mut family, workload, seconds(last.to_main))?;
    }
    let help = "Time in a phase of the last start";
    let mut family = gauges(encoder, "gotrace_last_startup_phase_seconds", help)?;
    for (workload, last) in all() {
        for (phase, time) in &last.phases {
            gauge(&mut family, &of(workload, "phase", (*phase).to_owned()), seconds(*time))?;
        }
    }
    let help = "Time of the package init that took longest in the last start";
    let mut family = gauges(encoder, "gotrace_last_slowest_init_seconds", help)?;
    for (workload, last) in all() {
        if let Some((package, time)) = &last.slowest {
            gauge(&mut family, &of(workload, "package", package.clone()), seconds(*time))?;
        }
    }
    Ok(())
}

fn running(state: &State, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = gauges(encoder, "gotrace_processes", "Processes that run and are looked at")?;
    for (workload, processes) in state.registry.by_workload() {
        gauge(&mut family, workload, processes)?;
    }
    Ok(())
}

fn own(state: &State, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    gauge(&mut gauges(encoder, "gotrace_build_info", "Which gotrace this is")?, &version, 1_u64)?;
    let counted = [
        (
            "gotrace_starts_unsure",
            "Starts left out because their end may be what was lost",
            state.tally.unsure,
        ),
        (
            "gotrace_starts_unselected",
            "Starts of a watched binary that are not selected",
            state.tally.unselected,
        ),
        (
            "gotrace_starts_unplaced",
            "Starts whose control group was gone when it was looked for",
            state.tally.unplaced,
        ),
        ("gotrace_processes_evicted", "Running processes given up for others", state.registry.evicted),
        ("gotrace_workloads_evicted", "Sets of labels given up for others", state.workloads.evicted),
        ("gotrace_binaries_refused", "Go executables that cannot be watched", state.tally.refused),
        (
            "gotrace_binaries_suspended",
            "Times that a binary was let go to keep the budget",
            state.tally.suspended,
        ),
        (
            "gotrace_looks_unanswered",
            "Processes and executables that did not answer in time",
            state.tally.silent,
        ),
        (
            "gotrace_blocking_unheard",
            "Times that it was not heard what a process is blocked on",
            state.tally.unheard,
        ),
        (
            "gotrace_looks_skipped",
            "Processes and executables that were too many to look at",
            state.tally.skipped,
        ),
        ("gotrace_records_stray", "Records that belong to no known start", state.stray),
    ];
    for (name, help, value) in counted {
        counters(encoder, name, help)?.encode_counter::<Labels, _, f64>(&value, None)?;
    }
    let now = [
        ("gotrace_binaries", "Binaries that are watched", state.binaries as u64),
        ("gotrace_starts_under_way", "Starts under way", state.under_way as u64),
        (
            "gotrace_ready",
            "1 when nothing keeps the agent from its work",
            u64::from(state.reasons.is_empty()),
        ),
    ];
    for (name, help, value) in now {
        gauges(encoder, name, help)?.encode_gauge(&value)?;
    }
    let mut family = counters(encoder, "gotrace_probe_hits", "How often a probe ran")?;
    for loss in state.losses.iter().filter(|loss| loss.hits > 0) {
        count(&mut family, &vec![("probe", loss.probe.name().to_owned())], loss.hits)?;
    }
    let mut family = counters(encoder, "gotrace_probe_records_lost", "Records that found no room")?;
    for loss in state.losses.iter().filter(|loss| loss.hits > 0) {
        count(&mut family, &vec![("probe", loss.probe.name().to_owned())], loss.dropped)?;
    }
    let help = "Processor time of the agent itself; what its probes take is their processes'";
    let cpu = clock_time(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or(Nanos(0));
    counters(encoder, "gotrace_agent_cpu_seconds", help)?
        .encode_counter::<Labels, _, f64>(&seconds(cpu), None)?;
    let help =
        "Processor time of what the agent started to collect profiles, and what processes are blocked on";
    counters(encoder, "gotrace_collections_cpu_seconds", help)?
        .encode_counter::<Labels, _, f64>(&seconds(collections_time()), None)?;
    let resident = Process::of_pid(std::process::id()).ok().and_then(|own| own.resident()).unwrap_or(0);
    gauges(encoder, "gotrace_agent_resident_bytes", "Memory of the agent itself")?.encode_gauge(&resident)?;
    if let Some(figures) = &state.gate {
        figures.encode(encoder)?;
    }
    #[cfg(feature = "otlp")]
    state.sent.encode(encoder)?;
    let mut family = gauges(encoder, "gotrace_not_ready", "What keeps the agent from its work")?;
    for reason in state.reasons.keys() {
        gauge(&mut family, &vec![("reason", label(reason))], 1_u64)?;
    }
    Ok(())
}

pub(super) fn counters<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Counter)
}

pub(super) fn gauges<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

pub(super) fn count(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: impl EncodeCounterValue + Copy,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<Labels, _, f64>(&value, None)
}

pub(super) fn gauge(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: impl EncodeGaugeValue + Copy,
) -> fmt::Result {
    family.encode_family(labels)?.encode_gauge(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_in_its_label() {
        let state = Shared::new(10);
        let workload = Workload { exe: label("a\"} 1\n# TYPE evil counter\nb\\"), ..Workload::default() };
        state.lock().workloads.of(&workload).joined_late = 3;
        let text = open_metrics(&state).unwrap();
        let line = text.lines().find(|line| line.starts_with("gotrace_starts_joined_late_total{")).unwrap();
        assert!(line.starts_with(r#"gotrace_starts_joined_late_total{exe="a\"} 1\\u{a}# TYPE"#), "{line}");
        assert!(line.ends_with(" 3"), "{line}");
        assert!(!text.lines().any(|line| line.starts_with("# TYPE evil")));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn prometheus_reads_counters_by_their_samples_names() {
        let text = prometheus(&open_metrics(&Shared::new(10)).unwrap());
        assert!(
            text.contains("# TYPE gotrace_starts_unsure_total counter\ngotrace_starts_unsure_total 0\n"),
            "{text}"
        );
        assert!(text.contains("# HELP gotrace_starts_unsure_total Starts left out"), "{text}");
        assert!(text.contains("# TYPE gotrace_startup_seconds histogram\n"), "{text}");
        assert!(text.contains("gotrace_not_ready{reason=\"starting\"} 1\n"), "{text}");
        assert!(!text.contains("# EOF"));
    }
}
