//! A start as a flame chart: phases, package inits, their functions, and what these waited for. Its x axis is time.

use std::io::{self, Write};

use regex::Regex;

use super::flamegraph::{Weight, write_svg};
use super::folded::Folded;
use crate::model::{Init, PhaseName, Report, StartupTimeline, Wait};
use crate::units::Nanos;

/// The chart of a start.
#[derive(Clone, Debug, Default)]
pub struct StartupFlame {
    /// Only stacks with a frame that matches.
    pub focus: Option<Regex>,
}

/// Something that took a while, and what of it.
struct Span {
    frames: Vec<String>,
    start: Nanos,
    end: Nanos,
    parts: Vec<Self>,
}

impl StartupFlame {
    /// The stacks in the order of time; weights are nanoseconds of wall time.
    #[must_use]
    pub fn folded(&self, report: &Report) -> Folded {
        let mut folded = Folded::in_order(self.focus.clone());
        let timeline = &report.timeline;
        for phase in timeline.phases.iter().filter(|phase| phase.name != PhaseName::Main) {
            let end = Nanos(phase.start.0 + phase.duration.0);
            let inits = timeline.inits.iter().enumerate();
            let within = inits.filter(|(_, init)| init.start >= phase.start && init.start < end);
            let mut parts: Vec<Span> = within.map(|(index, init)| of_init(timeline, index, init)).collect();
            if parts.is_empty() {
                parts = phase
                    .steps
                    .iter()
                    .map(|step| span(vec![step.name.to_owned()], step.start, step.duration, Vec::new()))
                    .collect();
            }
            let phase = span(vec![phase.name.name().to_owned()], phase.start, phase.duration, parts);
            let (start, end) = (phase.start, phase.end);
            add(&mut folded, &mut Vec::new(), phase, start, end);
        }
        folded
    }

    /// Writes the lines of the stacks.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write_folded(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        self.folded(report).write(out)
    }

    /// Draws them.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write_svg(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let exe = &report.subject.exe;
        let name = exe.file_name().unwrap_or(exe.as_os_str()).to_string_lossy();
        let title = format!("the start of {name}, in the order of time");
        write_svg(&self.folded(report), &title, Weight::Time, out)
    }
}

fn span(frames: Vec<String>, start: Nanos, duration: Nanos, parts: Vec<Span>) -> Span {
    Span { frames, start, end: Nanos(start.0.saturating_add(duration.0)), parts }
}

fn of_init(timeline: &StartupTimeline, index: usize, init: &Init) -> Span {
    let mut waits: Vec<&Wait> = timeline.waits.iter().filter(|wait| wait.init == Some(index)).collect();
    let mut parts = Vec::new();
    for timed in &init.functions {
        let (Some(start), Some(wall)) = (timed.start, timed.wall) else { continue };
        let end = start.0.saturating_add(wall.0);
        let (own, others) = waits.into_iter().partition(|wait| wait.start >= start && wait.start.0 < end);
        waits = others;
        let name = &timed.function.name;
        let own: Vec<&Wait> = own;
        let own = own.into_iter().map(|wait| of_wait(wait, name)).collect();
        parts.push(span(vec![name.clone()], start, wall, own));
    }
    parts.extend(waits.into_iter().map(|wait| of_wait(wait, "")));
    parts.sort_by_key(|part| part.start);
    span(vec![init.package()], init.start, init.wall, parts)
}

/// A wait with the calls that led to it, from the init function `within` on.
fn of_wait(wait: &Wait, within: &str) -> Span {
    let calls = wait.stack.iter().rev().map(|frame| frame.function.clone());
    let mut frames: Vec<String> = calls.skip_while(|function| function == within).collect();
    let details = [wait.syscall.as_deref(), wait.object.as_deref()].into_iter().flatten();
    let leaf: Vec<&str> = std::iter::once(wait.cause.name()).chain(details).collect();
    frames.push(format!("[{}]", leaf.join(", ")));
    span(frames, wait.start, wait.duration, Vec::new())
}

/// Adds a span, cut to what is around it, and returns where it ended.
fn add(folded: &mut Folded, path: &mut Vec<String>, span: Span, from: Nanos, until: Nanos) -> Nanos {
    let depth = path.len();
    let (start, end) = (span.start.max(from), span.end.min(until));
    path.extend(span.frames);
    let mut at = start;
    for part in span.parts {
        let begin = part.start.clamp(at, end.max(at));
        folded.add(path, begin.since(at).0);
        at = add(folded, path, part, begin, end).max(begin);
    }
    folded.add(path, end.since(at).0);
    path.truncate(depth);
    end
}
