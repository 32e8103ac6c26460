//! A start that is over, into the figures.

use super::agent::Session;
use super::figures::{Figures, Outcome};
#[cfg(feature = "otlp")]
use super::otlp::{Start, Whose};
use super::profiles::SeenWhole;
use super::programs::Watched;
use super::selector::Facts;
use super::workload::{Workload, label};
use crate::event::{Event, EventKind, Origin};
use crate::model::{InitCatalogue, InitName, Observation, SeenStart, StartupTimeline, Symbols};
use crate::probe::Probe;
use crate::target::gobin::Frame;
use crate::units::{Nanos, RuntimeAddr};

/// Of starts that are watched no waits are told, so no address is looked up.
struct NoSymbols;

impl Symbols for NoSymbols {
    fn frames(&self, _: RuntimeAddr) -> Vec<Frame> {
        Vec::new()
    }

    fn wait_reason(&self, _: u8) -> Option<&'static str> {
        None
    }
}

impl Session {
    /// Adds a start that is over to the figures.
    pub(super) fn tell(&mut self, start: &SeenStart) {
        let origin = start.events.iter().find_map(|event| match event.kind {
            EventKind::Origin(origin) => Some(origin),
            _ => None,
        });
        let Some((Origin { binary, cgroup }, begin)) = origin.zip(start.events.first()) else {
            self.state.lock().tally.unsure += 1;
            return;
        };
        let begin = begin.time;
        let Some(Watched { program, .. }) = self.programs.get(binary) else {
            // Its probes were taken away while it started.
            self.state.lock().tally.unsure += 1;
            return;
        };
        let program = program.clone();
        self.programs.count(binary, start.events.len());
        let placed = self.places.of(cgroup, start.pid, begin);
        let is_placed = placed.is_some();
        let identity = placed.unwrap_or_default();
        let pod = self.places.pod(&identity);
        let facts = Facts { exe: &program.path, identity: &identity, pod: pod.as_ref() };
        let selected = self.selection.takes(facts, program.module.as_deref());
        let timeline = timeline(start, begin, &program.catalogue);
        let outcome = self.outcome(start, &timeline, begin);
        let workload = Workload::new(&program.exe, program.module.as_deref(), &identity, pod.as_ref());
        let (is_kept, is_sent) = self.state.lock().wants_starts();
        let keeps = is_kept && outcome == Some(Outcome::Main) && is_whole(start);
        let losses = if keeps || is_sent { self.kernel.losses_since(begin).ok() } else { None };
        let mut state = self.state.lock();
        if !is_placed {
            state.tally.unplaced += 1;
        }
        if !selected {
            state.tally.unselected += 1;
            return;
        }
        let Some(outcome) = outcome else {
            state.tally.unsure += 1;
            return;
        };
        let known = state.registry.has(start.pid);
        let figures: &mut Figures = state.workloads.of(&workload);
        figures.add(outcome, &timeline);
        if let Some(each) = self.kernel.hit_cost {
            let hits = start.events.iter().filter(|event| matches!(event.kind, EventKind::Hit(_)));
            figures.spent(hits.count() as u64, each);
        }
        let main = start.events.last().map(|event| event.time).filter(|_| outcome == Outcome::Main);
        let ready = main.filter(|_| self.readiness.reached(start.pid, begin, &workload));
        if let Some(ready) = ready {
            figures.is_ready(ready.since(begin));
        }
        if !is_whole(start) && !known {
            figures.joined_late += 1;
        }
        #[cfg(feature = "otlp")]
        if let Some(outbox) = &state.outbox {
            let whose = Whose { pid: start.pid, program: program.clone(), identity, pod };
            let lost = losses.as_ref().map(|losses| losses.iter().map(|loss| loss.dropped).sum());
            let joined = first_hit(start).filter(|_| !is_whole(start)).map(|(time, _)| time);
            outbox.start(Start::over(whose, outcome, joined, lost, ready, timeline.clone()));
        }
        if let (true, Some(starts), Some(losses)) = (keeps, &mut state.starts, losses) {
            starts.keep(start.pid, SeenWhole { program, timeline, losses });
        }
    }

    /// How it ended; none when the record that tells may be what was lost, or that was before its binary was watched.
    fn outcome(&mut self, start: &SeenStart, timeline: &StartupTimeline, begin: Nanos) -> Option<Outcome> {
        if timeline.to_main.is_some() {
            return Some(Outcome::Main);
        }
        if !is_whole(start) || self.kernel.may_have_lost_end(begin) {
            return None;
        }
        Some(if timeline.replaced_by.is_some() { Outcome::Replaced } else { Outcome::Ended })
    }
}

/// Whether it was seen from its first instruction on.
fn is_whole(start: &SeenStart) -> bool {
    first_hit(start).is_some_and(|(_, probe)| probe == Probe::GoEntry)
}

/// The first site that it came by, and when.
fn first_hit(start: &SeenStart) -> Option<(Nanos, Probe)> {
    start.events.iter().find_map(|event| match &event.kind {
        EventKind::Hit(hit) => Some((event.time, hit.probe)),
        _ => None,
    })
}

fn timeline(start: &SeenStart, begin: Nanos, catalogue: &InitCatalogue) -> StartupTimeline {
    let end = start.events.last().map_or(begin, |event: &Event| event.time);
    let observation = Observation { gone: start.gone, ..Observation::until(begin, end) };
    let mut timeline = StartupTimeline::of(&start.events, catalogue, &NoSymbols, &observation).watched();
    for init in &mut timeline.inits {
        if let InitName::Package(package) = &mut init.name {
            *package = label(package);
        }
    }
    timeline
}
