//! A start as a flame chart: phases, package inits, their functions, and what these waited for. Its x axis is time.

use std::io::{self, Write};

use regex::Regex;

use super::blocking_flame::label;
use super::flamegraph::{Weight, write_svg};
use super::folded::Folded;
use crate::model::{Init, PhaseName, Report, StartupTimeline, Wait};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// The chart of a start.
#[derive(Clone, Debug, Default)]
pub struct StartupFlame {
    /// Only stacks with a frame that matches.
    pub focus: Option<Regex>,
}

/// Something that took a while, and what of it.
struct Span {
    frames: Vec<Frame>,
    start: Nanos,
    end: Nanos,
    parts: Vec<Self>,
}

/// A stretch of time in which nothing but the leaf changes hands: the outermost frame first, each with the number
/// of what it is of. Equal functions with the same number have not been left in between.
pub(super) type Path = [(usize, Frame)];

impl StartupFlame {
    /// The stacks in the order of time; weights are nanoseconds of wall time.
    #[must_use]
    pub fn folded(&self, report: &Report) -> Folded {
        let mut folded = Folded::in_order(self.focus.clone());
        stretches(report, &mut |path, from, until| {
            let names: Vec<String> = path.iter().map(|(_, frame)| frame.function.clone()).collect();
            folded.add(&names, until.since(from).0);
        });
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

/// Every stretch of the start, in order: what was running, from when, and until when.
pub(super) fn stretches(report: &Report, add: &mut dyn FnMut(&Path, Nanos, Nanos)) {
    let timeline = &report.timeline;
    let mut walk = Walk { path: Vec::new(), number: 0, add };
    for phase in timeline.phases.iter().filter(|phase| phase.name != PhaseName::Main) {
        let end = Nanos(phase.start.0 + phase.duration.0);
        let inits = timeline.inits.iter().enumerate();
        let within = inits.filter(|(_, init)| init.start >= phase.start && init.start < end);
        let mut parts: Vec<Span> = within.map(|(index, init)| of_init(timeline, index, init)).collect();
        if parts.is_empty() {
            parts = phase
                .steps
                .iter()
                .map(|step| span(vec![label(step.name.to_owned())], step.start, step.duration, Vec::new()))
                .collect();
        }
        let phase = span(vec![label(phase.name.name().to_owned())], phase.start, phase.duration, parts);
        let (start, end) = (phase.start, phase.end);
        walk.span(phase, start, end);
    }
}

fn span(frames: Vec<Frame>, start: Nanos, duration: Nanos, parts: Vec<Span>) -> Span {
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
        let own: Vec<&Wait> = own;
        let own = own.into_iter().map(|wait| of_wait(wait, &timed.function.name)).collect();
        parts.push(span(vec![timed.function.begin()], start, wall, own));
    }
    parts.extend(waits.into_iter().map(|wait| of_wait(wait, "")));
    parts.sort_by_key(|part| part.start);
    span(vec![label(init.package())], init.start, init.wall, parts)
}

/// A wait with the calls that led to it, from the init function `within` on.
fn of_wait(wait: &Wait, within: &str) -> Span {
    let calls = wait.stack.iter().rev().cloned();
    let mut frames: Vec<Frame> = calls.skip_while(|frame| frame.function == within).collect();
    let details = [wait.syscall.as_deref(), wait.object.as_deref()].into_iter().flatten();
    let leaf: Vec<&str> = std::iter::once(wait.cause.name()).chain(details).collect();
    frames.push(label(format!("[{}]", leaf.join(", "))));
    span(frames, wait.start, wait.duration, Vec::new())
}

/// Goes through spans, cut to what is around them.
struct Walk<'a> {
    path: Vec<(usize, Frame)>,
    number: usize,
    add: &'a mut dyn FnMut(&Path, Nanos, Nanos),
}

impl Walk<'_> {
    /// Returns where it ended.
    fn span(&mut self, span: Span, from: Nanos, until: Nanos) -> Nanos {
        let depth = self.path.len();
        let (start, end) = (span.start.max(from), span.end.min(until));
        self.number += 1;
        let number = self.number;
        self.path.extend(span.frames.into_iter().map(|frame| (number, frame)));
        let mut at = start;
        for part in span.parts {
            let begin = part.start.clamp(at, end.max(at));
            self.stretch(at, begin);
            at = self.span(part, begin, end).max(begin);
        }
        self.stretch(at, end);
        self.path.truncate(depth);
        end
    }

    fn stretch(&mut self, from: Nanos, until: Nanos) {
        if from < until {
            (self.add)(&self.path, from, until);
        }
    }
}
