//! The garbage collector's cycles, the stops of the world and who held them up, and the heap.

use std::collections::HashMap;
use std::io;

use super::args::{Args, after};
use super::event::Writer;
use super::track::{Slice, Tracks};
use crate::model::gc::{GcCycle, GcReport, Incident, IncidentKind, NO_LIMIT, Trigger, WorldStop};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// A goroutine that held the world up.
pub(super) struct Held<'a> {
    pub(super) goid: u64,
    /// The go statement that made it.
    pub(super) origin: Option<&'a Frame>,
    pub(super) slice: Slice<'a>,
    /// Where the world had stopped at last; none when it did not stand still for a nanosecond.
    pub(super) stopped: Option<Stopped>,
}

/// A moment on a track.
#[derive(Clone, Copy)]
pub(super) struct Stopped {
    pub(super) tid: u64,
    pub(super) at: Nanos,
}

/// The goroutines that held the world up.
pub(super) fn goroutines(gc: &GcReport) -> impl Iterator<Item = u64> {
    gc.stops.iter().filter_map(|stop| stop.holder.as_ref()).map(|holder| holder.seen.goid)
}

/// Writes the tracks of the collector, and returns what is about goroutines.
pub(super) fn write<'a>(
    gc: &'a GcReport,
    tracks: &mut Tracks,
    writer: &mut Writer<'_>,
) -> io::Result<Vec<Held<'a>>> {
    let incidents: HashMap<(IncidentKind, Nanos), &Incident> =
        gc.incidents.iter().map(|one| ((one.kind, one.start), one)).collect();
    let incident = |kind, start| incidents.get(&(kind, start)).copied();
    if !gc.cycles.is_empty() {
        let tid = tracks.own("garbage collector", writer)?;
        let mut slices = Vec::new();
        for told in &gc.cycles {
            let cycle = &told.cycle;
            let trigger =
                told.trigger.map_or(String::new(), |trigger| format!(" ({})", trigger_text(trigger)));
            let incident = incident(IncidentKind::Cycle, cycle.start);
            slices.push(Slice {
                start: cycle.start,
                end: cycle.end(),
                name: format!("GC {}{trigger}", cycle.number),
                category: "gc",
                args: Args::Cycle(told, incident),
            });
            slices.extend(parts(cycle));
        }
        tracks.write(tid, "garbage collector", &slices, writer)?;
        gc.cycles.iter().try_for_each(|told| heap(&told.cycle, writer))?;
    }
    let seen = |stop: &&'a WorldStop| stop.start.is_some();
    let stops: Vec<&WorldStop> = gc.stops.iter().filter(seen).collect();
    if stops.is_empty() {
        return Ok(Vec::new());
    }
    let tid = tracks.own("stop the world", writer)?;
    let mut slices = Vec::new();
    let mut held = Vec::new();
    for stop in stops {
        let Some(start) = stop.start else { continue };
        let incident = incident(IncidentKind::Stop, start);
        slices.push(Slice {
            start,
            end: stop.end(),
            name: stop.reason.name(),
            category: "stw",
            args: Args::Stop(stop, incident),
        });
        let Some(stopping) = stop.stopping else { continue };
        let at = after(start, stopping).min(stop.end());
        let mut part = |name: &str, start, end| {
            slices.push(Slice { start, end, name: name.to_owned(), category: "stw", args: Args::None });
            slices.len() - 1
        };
        part("waits until it has stopped", start, at);
        let stopped = part("stopped", at, stop.end());
        if let Some(holder) = &stop.holder {
            let name = "runs while the world is to stop".to_owned();
            let args = Args::Holder(stop, holder);
            let slice = Slice { start, end: at, name, category: "stw", args };
            let stands_still = (at < stop.end()).then_some((stopped, at));
            held.push((holder, slice, stands_still));
        }
    }
    let on = tracks.write(tid, "stop the world", &slices, writer)?;
    let told = held.into_iter().map(|(holder, slice, stopped)| Held {
        goid: holder.seen.goid,
        origin: holder.origin.as_ref(),
        slice,
        stopped: stopped.map(|(index, at)| Stopped { tid: on[index], at }),
    });
    Ok(told.collect())
}

const fn trigger_text(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Heap => "the heap had grown",
        Trigger::Periodic => "none for two minutes",
        Trigger::Manual => "asked for",
    }
}

/// What a cycle consists of; not all of one that had begun before it was looked at.
fn parts<'a>(cycle: &GcCycle) -> impl Iterator<Item = Slice<'a>> + use<'a> {
    let mark = after(cycle.start, cycle.sweep_term);
    let mark_term = after(mark, cycle.mark);
    let parts = [
        ("sweep termination (world stopped)", cycle.start, mark),
        ("mark", mark, mark_term),
        ("mark termination (world stopped)", mark_term, cycle.end()),
    ];
    parts.into_iter().map(|(name, start, end)| Slice {
        start,
        end,
        name: name.to_owned(),
        category: "gc",
        args: Args::None,
    })
}

/// What the heap was to be at most; none where GOGC is off and nothing else bounds it, though the runtime has a figure.
pub(super) fn goal(cycle: &GcCycle) -> Option<u64> {
    let is_bounded = cycle.gc_percent >= 0 || cycle.memory_limit < NO_LIMIT;
    is_bounded.then_some(cycle.heap_goal).filter(|goal| *goal != u64::MAX)
}

/// The heap where the runtime's figures tell it: at a cycle's begin and end.
fn heap(cycle: &GcCycle, writer: &mut Writer<'_>) -> io::Result<()> {
    writer.counter(cycle.start, "heap", "bytes", cycle.heap_start)?;
    writer.counter(cycle.end(), "heap", "bytes", cycle.heap_end)?;
    writer.counter(cycle.end(), "heap live (marked)", "bytes", cycle.heap_marked)?;
    if let Some(goal) = goal(cycle) {
        writer.counter(cycle.end(), "heap goal", "bytes", goal)?;
    }
    match cycle.surroundings.rss {
        Some(rss) => writer.counter(cycle.noted.max(cycle.end()), "RSS", "bytes", rss),
        None => Ok(()),
    }
}
