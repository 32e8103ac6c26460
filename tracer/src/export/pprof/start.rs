//! A start: phases, package inits, their functions and what these waited for, with wall time; and what the kernel and
//! Go's allocator count of a phase or an init as a whole, at its own frame.

use std::collections::HashMap;

use super::super::startup_spans::{Level, stretches};
use super::builder::Builder;
use super::proto::Label;
use crate::model::{Cause, Init, Parts, Phase, PhaseName, Report, Wait};
use crate::units::Nanos;

/// What the values are.
const TYPES: [(&str, &str); 6] = [
    ("wall", "nanoseconds"),
    ("cpu", "nanoseconds"),
    ("runnable", "nanoseconds"),
    ("blocked", "nanoseconds"),
    // As Go's heap profile calls them (runtime/pprof, `writeHeapInternal`).
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
];

/// How many of them there are when nobody counted what was allocated.
const TIMES: usize = 4;

/// The profile of a start.
pub(super) fn profile(report: &Report) -> Builder {
    let timeline = &report.timeline;
    let has_heap = timeline.inits.iter().any(|init| init.heap.is_some());
    let width = if has_heap { TYPES.len() } else { TIMES };
    let mut builder = Builder::new(&report.subject, &TYPES[..width], TYPES[0].0);
    let phases = || timeline.phases.iter().filter(|phase| phase.name != PhaseName::Main);
    builder.lasted(phases().map(|phase| phase.duration).sum::<Nanos>().0, TYPES[0], 1);
    let mut start = Start { builder, width, told: HashMap::new() };
    stretches(report, |path, duration| start.stretch(path, duration));
    for phase in phases() {
        start.phase(report, phase);
    }
    start.builder.comment(&account(report));
    for missing in &report.missing {
        start.builder.comment(&format!("not seen: {}: {}", missing.function, missing.reason));
    }
    start.builder
}

struct Start {
    builder: Builder,
    width: usize,
    /// The time that waits have told already, by phase, init and cause.
    told: HashMap<(&'static str, Option<Nanos>, &'static str), u64>,
}

impl Start {
    fn stretch(&mut self, path: &[Level<'_>], duration: Nanos) {
        let wait = match path.last() {
            Some(Level::Wait(wait)) => Some(*wait),
            _ => None,
        };
        let stack = self.stack(path, wait);
        let mut phase = None;
        let mut init = None;
        for level in path {
            match level {
                Level::Phase(name) => phase = Some(*name),
                Level::Init(of) => init = Some(*of),
                _ => {}
            }
        }
        let Some(phase) = phase else { return };
        let labels = self.labels(phase, init, wait);
        let mut values = vec![0; self.width];
        values[0] = duration.0;
        if let Some(wait) = wait {
            values[3] = self.blocked(phase, init, wait, duration);
        }
        self.builder.add(&stack, &labels, &values);
    }

    /// The part of a wait that the kernel's account has too: it is the one that the sums are of.
    fn blocked(&mut self, phase: PhaseName, init: Option<&Init>, wait: &Wait, duration: Nanos) -> u64 {
        let told =
            self.told.entry((phase.name(), init.map(|init| init.start), wait.cause.name())).or_default();
        let room = match init.map(|init| init.parts.as_ref()) {
            Some(Some(parts)) => parts.blocked_by(wait.cause).0.saturating_sub(*told),
            // It is in what is known of the phase.
            Some(None) => 0,
            None => duration.0,
        };
        let blocked = duration.0.min(room);
        *told = told.saturating_add(blocked);
        blocked
    }

    /// Innermost first. A wait has its own stack, which begins in the init function.
    fn stack(&mut self, path: &[Level<'_>], wait: Option<&Wait>) -> Vec<u64> {
        let calls = wait.map_or(&[][..], |wait| &wait.stack);
        let mut stack = self.builder.stack(calls);
        for level in path.iter().rev() {
            match level {
                Level::Phase(name) => stack.push(self.builder.stands_for(name.name())),
                Level::Step(name) => stack.push(self.builder.stands_for(name)),
                Level::Init(init) => stack.push(self.builder.stands_for(&init.package())),
                Level::Function(function) => {
                    if calls.last().is_none_or(|outermost| outermost.function != function.name) {
                        stack.extend(self.builder.stack(&[function.begin()]));
                    }
                }
                Level::Call(_) | Level::Wait(_) => {}
            }
        }
        stack
    }

    fn labels(&mut self, phase: PhaseName, init: Option<&Init>, wait: Option<&Wait>) -> Vec<Label> {
        let package = init.map(Init::package);
        let goid = wait.and_then(|wait| wait.goid).map(|goid| goid.to_string());
        self.builder.labels(&[
            ("phase", Some(phase.name())),
            ("package", package.as_deref()),
            ("module", init.and_then(|init| init.module.as_deref())),
            ("cause", wait.map(|wait| wait.cause.name())),
            ("syscall", wait.and_then(|wait| wait.syscall.as_deref())),
            ("wait_reason", wait.and_then(|wait| wait.reason)),
            ("object", wait.and_then(|wait| wait.object.as_deref())),
            ("goid", goid.as_deref()),
        ])
    }

    /// What is known of a phase and its inits as a whole, each at its own frame, without what has been told.
    fn phase(&mut self, report: &Report, phase: &Phase) {
        let end = Nanos(phase.start.0.saturating_add(phase.duration.0));
        let inits = report.timeline.inits.iter();
        let mut rest = phase.parts;
        for init in inits.filter(|init| init.start >= phase.start && init.start < end) {
            let path = [Level::Phase(phase.name), Level::Init(init)];
            let stack = self.stack(&path, None);
            if let (Some(heap), true) = (init.heap, self.width == TYPES.len()) {
                let labels = self.labels(phase.name, Some(init), None);
                let values = [0, 0, 0, 0, heap.allocs, heap.bytes];
                self.builder.add(&stack, &labels, &values);
            }
            if let Some(parts) = &init.parts {
                self.account(&stack, phase.name, Some(init), parts);
                rest = rest.map(|rest| rest.without(parts));
            }
        }
        if let Some(rest) = rest {
            let stack = self.stack(&[Level::Phase(phase.name)], None);
            self.account(&stack, phase.name, None, &rest);
        }
    }

    fn account(&mut self, stack: &[u64], phase: PhaseName, init: Option<&Init>, parts: &Parts) {
        let labels = self.labels(phase, init, None);
        let mut values = vec![0; self.width];
        (values[1], values[2]) = (parts.on_cpu.0, parts.runnable.0);
        self.builder.add(stack, &labels, &values);
        for cause in Cause::ALL {
            let key = (phase.name(), init.map(|init| init.start), cause.name());
            let told = self.told.get(&key).copied().unwrap_or(0);
            let mut values = vec![0; self.width];
            values[3] = parts.blocked_by(cause).0.saturating_sub(told);
            let mut of_cause = self.builder.labels(&[("cause", Some(cause.name()))]);
            of_cause.splice(0..0, labels.iter().copied());
            self.builder.add(stack, &of_cause, &values);
        }
    }
}

fn account(report: &Report) -> String {
    let totals = report.totals();
    let verdict =
        if report.is_complete() { "complete" } else { "INCOMPLETE: times beside a gap may be wrong" };
    format!(
        "{verdict}: {} lost, {} undecodable, {} unresolved",
        totals.dropped, totals.undecodable, totals.unresolved
    )
}
