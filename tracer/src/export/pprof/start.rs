//! A start: phases, package inits, their functions and what these waited for, with wall time; and what the kernel and
//! Go's allocator count of a phase or an init as a whole, at its own frame.

use std::collections::HashMap;

use super::super::startup_spans::{Level, stretches};
use super::builder::Builder;
use super::proto::Label;
use crate::model::{Cause, Init, Parts, Phase, PhaseName, Report, Wait};
use crate::units::Nanos;

/// What the values are; the last two as Go's heap profile calls them (runtime/pprof, `writeHeapInternal`).
const TYPES: [(&str, &str); 6] = [
    ("wall", "nanoseconds"),
    ("cpu", "nanoseconds"),
    ("runnable", "nanoseconds"),
    ("blocked", "nanoseconds"),
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
];

/// How many of them there are when nobody counted what was allocated.
const TIMES: usize = 4;

/// The values of a sample, in that order.
#[derive(Default)]
struct Values {
    wall: Nanos,
    cpu: Nanos,
    runnable: Nanos,
    blocked: Nanos,
    alloc_objects: u64,
    alloc_space: u64,
}

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
    /// How many values samples have.
    width: usize,
    /// The time that waits have told already, by phase, init and cause.
    told: HashMap<(&'static str, Option<Nanos>, &'static str), u64>,
}

impl Start {
    fn add(&mut self, stack: &[u64], labels: &[Label], values: &Values) {
        let Values { wall, cpu, runnable, blocked, alloc_objects, alloc_space } = values;
        let values = [wall.0, cpu.0, runnable.0, blocked.0, *alloc_objects, *alloc_space];
        self.builder.add(stack, labels, &values[..self.width]);
    }

    fn stretch(&mut self, path: &[Level<'_>], duration: Nanos) {
        let Some(Level::Phase(phase)) = path.first() else { return };
        let init = path.iter().find_map(|level| match level {
            Level::Init(init) => Some(*init),
            _ => None,
        });
        let mut labels = self.labels(*phase, init);
        let mut values = Values { wall: duration, ..Values::default() };
        let wait = match path.last() {
            Some(Level::Wait(wait)) => Some(*wait),
            _ => None,
        };
        if let Some(wait) = wait {
            labels.extend(self.labels_of_wait(wait));
            values.blocked = self.blocked(*phase, init, wait, duration);
        }
        let stack = self.stack(path, wait);
        self.add(&stack, &labels, &values);
    }

    /// The part of a wait that the kernel's account has too: it is the one that the sums are of.
    fn blocked(&mut self, phase: PhaseName, init: Option<&Init>, wait: &Wait, duration: Nanos) -> Nanos {
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
        Nanos(blocked)
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
                    if calls.last().is_none_or(|outermost| *outermost.function != *function.name) {
                        stack.extend(self.builder.stack(&[function.begin()]));
                    }
                }
                Level::Call(_) | Level::Wait(_) => {}
            }
        }
        stack
    }

    fn labels(&mut self, phase: PhaseName, init: Option<&Init>) -> Vec<Label> {
        let package = init.map(Init::package);
        self.builder.labels(&[
            ("phase", Some(phase.name())),
            ("package", package.as_deref()),
            ("module", init.and_then(|init| init.module.as_deref())),
        ])
    }

    fn labels_of_wait(&mut self, wait: &Wait) -> Vec<Label> {
        let goid = wait.goid.map(|goid| goid.to_string());
        self.builder.labels(&[
            ("cause", Some(wait.cause.name())),
            ("syscall", wait.syscall.as_deref()),
            ("wait_reason", wait.reason),
            ("object", wait.object.as_deref()),
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
            if let Some(heap) = init.heap {
                let labels = self.labels(phase.name, Some(init));
                let (alloc_objects, alloc_space) = (heap.allocs, heap.bytes);
                self.add(&stack, &labels, &Values { alloc_objects, alloc_space, ..Values::default() });
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
        let labels = self.labels(phase, init);
        let (cpu, runnable) = (parts.on_cpu, parts.runnable);
        self.add(stack, &labels, &Values { cpu, runnable, ..Values::default() });
        for cause in Cause::ALL {
            let key = (phase.name(), init.map(|init| init.start), cause.name());
            let told = self.told.get(&key).copied().unwrap_or(0);
            let blocked = parts.blocked_by(cause).since(Nanos(told));
            let of_cause = self.builder.labels(&[("cause", Some(cause.name()))]);
            let labels = [&labels[..], &of_cause].concat();
            self.add(stack, &labels, &Values { blocked, ..Values::default() });
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
