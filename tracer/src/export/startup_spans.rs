//! A start as spans inside each other: phases, package inits, their functions, and what these waited for. Flame charts
//! and profiles are made of them.

use std::ptr;

use crate::model::{Init, InitFunction, PhaseName, Report, StartupTimeline, Wait};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// What a span is.
#[derive(Clone, Copy)]
pub(super) enum Level<'a> {
    /// A phase.
    Phase(PhaseName),
    /// A step of a phase.
    Step(&'static str),
    /// A package's init.
    Init(&'a Init),
    /// A function of an init.
    Function(&'a InitFunction),
    /// A call that led to a wait.
    Call(&'a Frame),
    /// A wait.
    Wait(&'a Wait),
}

impl Level<'_> {
    /// Whether both are of the very same thing, and not only of one with the same name.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Phase(one), Self::Phase(other)) => one == other,
            (Self::Step(one), Self::Step(other)) => one == other,
            (Self::Init(one), Self::Init(other)) => ptr::eq(*one, *other),
            (Self::Function(one), Self::Function(other)) => ptr::eq(*one, *other),
            (Self::Call(one), Self::Call(other)) => ptr::eq(*one, *other),
            (Self::Wait(one), Self::Wait(other)) => ptr::eq(*one, *other),
            _ => false,
        }
    }
}

/// Something that took a while, and what of it.
struct Span<'a> {
    levels: Vec<Level<'a>>,
    start: Nanos,
    end: Nanos,
    parts: Vec<Self>,
}

/// Calls `tell` for each stretch of the time before `main.main`, in order, with what it lies in, the outermost first. No
/// two overlap, so their durations add up to all of that time.
pub(super) fn stretches<'a>(report: &'a Report, mut tell: impl FnMut(&[Level<'a>], Nanos)) {
    let timeline = &report.timeline;
    for phase in timeline.phases.iter().filter(|phase| phase.name != PhaseName::Main) {
        let end = phase.start.plus(phase.duration);
        let inits = timeline.inits.iter().enumerate();
        let within = inits.filter(|(_, init)| init.start >= phase.start && init.start < end);
        let mut parts: Vec<Span<'_>> = within.map(|(index, init)| of_init(timeline, index, init)).collect();
        if parts.is_empty() {
            let step = |step: &crate::model::Step| {
                span(vec![Level::Step(step.name)], step.start, step.duration, Vec::new())
            };
            parts = phase.steps.iter().map(step).collect();
        }
        let phase = span(vec![Level::Phase(phase.name)], phase.start, phase.duration, parts);
        let (start, end) = (phase.start, phase.end);
        walk(&mut tell, &mut Vec::new(), phase, start, end);
    }
}

fn span<'a>(levels: Vec<Level<'a>>, start: Nanos, duration: Nanos, parts: Vec<Span<'a>>) -> Span<'a> {
    Span { levels, start, end: Nanos(start.0.saturating_add(duration.0)), parts }
}

fn of_init<'a>(timeline: &'a StartupTimeline, index: usize, init: &'a Init) -> Span<'a> {
    let mut waits: Vec<&Wait> = timeline.waits.iter().filter(|wait| wait.init == Some(index)).collect();
    let mut parts = Vec::new();
    for timed in &init.functions {
        let (Some(start), Some(wall)) = (timed.start, timed.wall) else { continue };
        let end = start.0.saturating_add(wall.0);
        let (own, others) = waits.into_iter().partition(|wait| wait.start >= start && wait.start.0 < end);
        waits = others;
        let own: Vec<&Wait> = own;
        let own = own.into_iter().map(|wait| of_wait(wait, &timed.function.name)).collect();
        parts.push(span(vec![Level::Function(&timed.function)], start, wall, own));
    }
    parts.extend(waits.into_iter().map(|wait| of_wait(wait, "")));
    parts.sort_by_key(|part| part.start);
    span(vec![Level::Init(init)], init.start, init.wall, parts)
}

/// A wait with the calls that led to it, from the init function `within` on.
fn of_wait<'a>(wait: &'a Wait, within: &str) -> Span<'a> {
    let calls = wait.stack.iter().rev().skip_while(|frame| *frame.function == *within);
    let levels = calls.map(Level::Call).chain([Level::Wait(wait)]).collect();
    span(levels, wait.start, wait.duration, Vec::new())
}

/// Tells a span, cut to what is around it, and returns where it ended.
fn walk<'a>(
    tell: &mut impl FnMut(&[Level<'a>], Nanos),
    path: &mut Vec<Level<'a>>,
    span: Span<'a>,
    from: Nanos,
    until: Nanos,
) -> Nanos {
    let depth = path.len();
    let (start, end) = (span.start.max(from), span.end.min(until));
    path.extend(span.levels);
    let mut at = start;
    for part in span.parts {
        let begin = part.start.clamp(at, end.max(at));
        tell(path, begin.since(at));
        at = walk(tell, path, part, begin, end).max(begin);
    }
    tell(path, end.since(at));
    path.truncate(depth);
    end
}
