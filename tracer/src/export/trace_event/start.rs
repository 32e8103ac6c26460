//! How a program started: phases, inits, their functions and waits, one within the other.

use std::io;

use serde_json::json;

use super::args::{Args, after};
use super::collector;
use super::event::{Reach, Writer};
use super::goroutines::Goroutines;
use super::track::{Slice, Tracks};
use crate::model::{Init, Report, StartupTimeline, TimedFunction, Wait};
use crate::units::Nanos;

/// Writes the events of a start.
pub(super) fn write(report: &Report, writer: &mut Writer<'_>) -> io::Result<()> {
    let timeline = &report.timeline;
    let mut tracks = Tracks::beside(report.gc.iter().flat_map(collector::goroutines));
    let name = "start: main thread, goroutine 1";
    let tid = tracks.own(name, writer)?;
    tracks.write(tid, name, &slices(timeline), writer)?;
    moments(report, tid, writer)?;
    if !timeline.libraries.is_empty() {
        let name = "libraries";
        let tid = tracks.own(name, writer)?;
        let slices: Vec<Slice<'_>> = timeline
            .libraries
            .iter()
            .map(|library| Slice {
                start: library.start,
                end: after(library.start, library.duration),
                name: library.path.rsplit('/').next().unwrap_or(&library.path).to_owned(),
                category: "library",
                args: Args::Library(library),
            })
            .collect();
        tracks.write(tid, name, &slices, writer)?;
    }
    if !timeline.calls.is_empty() {
        let tid = tracks.own("files opened, addresses connected", writer)?;
        for call in &timeline.calls {
            let package = call.init.and_then(|init| timeline.inits.get(init)).map(Init::package);
            let args = json!({ "result": call.result, "package": package });
            let name = format!("{} {}", call.syscall, call.object);
            writer.instant(tid, call.time, &name, Reach::Track, Some(args))?;
        }
    }
    match &report.gc {
        Some(gc) => {
            let mut goroutines = Goroutines::default();
            let held = collector::write(gc, &mut tracks, writer)?;
            held.into_iter().for_each(|held| goroutines.add_held(held));
            goroutines.write(&mut tracks, writer)
        }
        None => Ok(()),
    }
}

fn slices(timeline: &StartupTimeline) -> Vec<Slice<'_>> {
    let mut slices = Vec::new();
    for phase in &timeline.phases {
        slices.push(Slice {
            start: phase.start,
            end: after(phase.start, phase.duration),
            name: phase.name.name().to_owned(),
            category: "phase",
            args: Args::Phase(phase),
        });
        slices.extend(phase.steps.iter().map(|step| Slice {
            start: step.start,
            end: after(step.start, step.duration),
            name: step.name.to_owned(),
            category: "step",
            args: Args::None,
        }));
    }
    for init in &timeline.inits {
        slices.push(Slice {
            start: init.start,
            end: after(init.start, init.wall),
            name: format!("init {}", init.package()),
            category: "init",
            args: Args::Init(init),
        });
        slices.extend(init.functions.iter().filter_map(function));
    }
    slices.extend(timeline.waits.iter().map(wait));
    slices
}

fn function(timed: &TimedFunction) -> Option<Slice<'_>> {
    let (start, wall) = (timed.start?, timed.wall?);
    let name = timed.function.name.clone();
    Some(Slice {
        start,
        end: after(start, wall),
        name,
        category: "init_function",
        args: Args::Function(timed),
    })
}

fn wait(wait: &Wait) -> Slice<'_> {
    let what = [wait.syscall.as_deref(), wait.object.as_deref()].into_iter().flatten();
    let name: Vec<&str> = std::iter::once(wait.cause.name()).chain(what).collect();
    Slice {
        start: wait.start,
        end: after(wait.start, wait.duration),
        name: name.join(", "),
        category: "wait",
        args: Args::Wait(wait),
    }
}

/// What has no length: where main begins, where the program is ready, and where it ended.
fn moments(report: &Report, tid: u64, writer: &mut Writer<'_>) -> io::Result<()> {
    let timeline = &report.timeline;
    let main = timeline.to_main.map(|to_main| after(timeline.begin, to_main));
    let moments: [(&str, Option<Nanos>); 3] =
        [("main.main begins", main), ("ready", timeline.ready), ("ended", timeline.ended)];
    for (name, at) in moments {
        if let Some(at) = at {
            writer.instant(tid, at, name, Reach::Process, None)?;
        }
    }
    Ok(())
}
