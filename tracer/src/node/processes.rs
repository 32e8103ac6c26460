//! What running processes have, as metrics.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::figures::seconds;
use super::metrics::{Labels, count, counters, gauge, gauges};
use super::registry::Running;
use super::state::State;
use super::usage::Usage;
use super::workload::Workload;
use crate::target::counters::Counters;
use crate::units::Nanos;

/// How a figure is read from what is known of a process.
type Figure<T, From = Counters> = (&'static str, &'static str, fn(&From) -> Option<T>);

/// What the runtime counts up.
const TIMES: [Figure<Nanos>; 2] = [
    ("gotrace_gc_pause_seconds", "Time for which the collector had stopped the world", |counters| {
        Some(Nanos(counters.gc_pause_ns_total))
    }),
    (
        "gotrace_gc_assist_seconds",
        "Processor time of goroutines that had to help the collector, as of the last cycle's end",
        |counters| Some(Nanos(counters.gc_assist_ns_total)),
    ),
];

const COUNTS: [Figure<u64>; 3] = [
    ("gotrace_gc_cycles", "Cycles of the garbage collector", |counters| Some(counters.gc_cycles)),
    ("gotrace_gc_forced_cycles", "Those that the program asked for", |counters| Some(counters.gc_forced)),
    ("gotrace_allocated_bytes", "All that was ever allocated on the heap", |counters| {
        Some(counters.allocated_bytes_total)
    }),
];

/// What it has now.
const SIZES: [Figure<u64>; 4] = [
    ("gotrace_heap_live_bytes", "What the last cycle found alive and what was allocated since", |counters| {
        Some(counters.heap_live_bytes)
    }),
    ("gotrace_heap_goal_bytes", "How large the heap may become until a cycle is over", |counters| {
        Some(counters.heap_goal_bytes)
    }),
    ("gotrace_goroutines", "Goroutines, the runtime's own left out", |counters| counters.goroutines),
    ("gotrace_gomaxprocs", "GOMAXPROCS", |counters| counters.gomaxprocs),
];

/// What the kernel counts of it, and its goroutines that wait for a P.
const NOW: [Figure<u64, Usage>; 3] = [
    ("gotrace_resident_bytes", "Memory of a process", |usage| usage.resident),
    ("gotrace_threads", "Threads of a process", |usage| usage.threads),
    ("gotrace_goroutines_runnable", "Goroutines that wait for a P", |usage| {
        usage.census.as_ref().map(|census| census.runnable)
    }),
];

/// Writes them, by process.
pub(super) fn processes(state: &State, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let running = state.registry.sorted();
    for (name, help, figure) in NOW {
        let mut family = gauges(encoder, name, help)?;
        for (process, value) in running.iter().filter_map(|process| Some((process, figure(&process.usage)?)))
        {
            gauge(&mut family, &labels(process), value)?;
        }
    }
    blocked(&running, encoder)?;
    stops(&running, encoder)?;
    let counted = || running.iter().filter_map(|process| Some((*process, process.usage.counters.as_ref()?)));
    for (name, help, figure) in TIMES {
        let mut family = counters(encoder, name, help)?;
        for (process, value) in counted().filter_map(|(process, all)| Some((process, figure(all)?))) {
            count(&mut family, &labels(process), seconds(value))?;
        }
    }
    for (name, help, figure) in COUNTS {
        let mut family = counters(encoder, name, help)?;
        for (process, value) in counted().filter_map(|(process, all)| Some((process, figure(all)?))) {
            count(&mut family, &labels(process), value)?;
        }
    }
    for (name, help, figure) in SIZES {
        let mut family = gauges(encoder, name, help)?;
        for (process, value) in counted().filter_map(|(process, all)| Some((process, figure(all)?))) {
            gauge(&mut family, &labels(process), value)?;
        }
    }
    Ok(())
}

/// Who does not run now, by what it waits for: only what there is, so that a process is a handful of series.
fn blocked(running: &[&Running], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Goroutines that wait now, by what for; the runtime's own left out";
    let mut family = gauges(encoder, "gotrace_goroutines_blocked", help)?;
    for process in running {
        let Some(census) = &process.usage.census else { continue };
        let waiting = census.waiting.iter().map(|(kind, count)| (kind.name(), *count));
        let in_syscall = Some(("syscall", census.in_syscall)).filter(|(_, count)| *count > 0);
        for (reason, count) in waiting.chain(in_syscall) {
            let (workload, mut labels) = labels(process);
            labels.push(("reason", reason.to_owned()));
            gauge(&mut family, &(workload, labels), count)?;
        }
    }
    Ok(())
}

/// How long the world was stopped, by reason.
fn stops(running: &[&Running], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Stops of the world, from where they begin until it is started again; of the sum up to a fifth is missing";
    let mut family = encoder.encode_descriptor("gotrace_stw_seconds", help, None, MetricType::Histogram)?;
    for process in running {
        let Some(stops) = &process.usage.stops else { continue };
        for (reason, durations) in [("gc", &stops.gc), ("other", &stops.other)] {
            let (workload, mut labels) = labels(process);
            labels.push(("reason", reason.to_owned()));
            durations.encode(family.encode_family(&(workload, labels))?)?;
        }
    }
    Ok(())
}

fn labels(process: &Running) -> (Workload, Labels) {
    (process.workload.clone(), vec![("pid", process.process.pid.to_string())])
}
