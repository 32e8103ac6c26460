//! What running processes have, as metrics.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::figures::seconds;
use super::metrics::{Labels, count, counters, gauge, gauges};
use super::registry::Running;
use super::state::State;
use super::workload::Workload;
use crate::target::counters::Counters;
use crate::units::Nanos;

/// How a figure is read from a process.
type Figure<T> = (&'static str, &'static str, fn(&Counters) -> Option<T>);

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

/// Writes them, by process.
pub(super) fn processes(state: &State, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let running = state.registry.sorted();
    let mut family = gauges(encoder, "gotrace_resident_bytes", "Memory of a process")?;
    for process in &running {
        if let Some(resident) = process.usage.resident {
            gauge(&mut family, &labels(process), resident)?;
        }
    }
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

fn labels(process: &Running) -> (Workload, Labels) {
    (process.workload.clone(), vec![("pid", process.process.pid.to_string())])
}
