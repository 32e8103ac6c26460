//! The startup timeline: from execve to `main.main` and beyond, in phases, and every package's init.

use serde::{Deserialize, Serialize};
use tracer_ebpf::wire::Probe;

use super::assists;
use super::catalogue::InitCatalogue;
use super::goroutines::{Counts, counts, started};
use super::image::{Image, Mark};
use super::init::{Init, inits};
use super::libraries::{Library, libraries, linking};
use super::objects::{NamedCall, named_calls};
use super::parts::Cause;
use super::phases::{Marks, Phase, PhaseName};
use super::waits::{Symbols, Wait, waits};
use crate::event::{self, Account, Event, EventKind};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// What is known besides the events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// When the process called execve.
    pub begin: Nanos,
    /// When gotrace stopped looking.
    pub end: Nanos,
    /// When the process was seen to be gone, if it was. The kernel's own word of it is more exact.
    pub gone: Option<Nanos>,
    /// Where the main thread's time had gone by then, when `main.main` had not been reached.
    pub closing: Option<Account>,
    /// What the main thread was waiting for then, with the main goroutine's stack.
    pub present: Option<(event::Wait, Vec<Frame>)>,
    /// When the program was ready, if it was seen to be.
    pub ready: Option<Nanos>,
    /// How long its control group kept it from running; none when unknown.
    pub throttled: Option<Nanos>,
}

impl Observation {
    /// Of a start that was looked at in that time, of which nothing but its events is known.
    #[must_use]
    pub const fn until(begin: Nanos, end: Nanos) -> Self {
        Self { begin, end, gone: None, closing: None, present: None, ready: None, throttled: None }
    }
}

/// When a program called execve, as far as its events tell: with that the account begins which the kernel side keeps.
#[must_use]
pub fn start_began(events: &[Event]) -> Option<Nanos> {
    let exec = events.iter().find_map(|event| match &event.kind {
        EventKind::Exec { account, .. } => Some((event.time, account)),
        _ => None,
    });
    let (time, account) = exec?;
    let blocked = account.blocked.iter().fold(0_u64, |sum, time| sum.saturating_add(*time));
    Some(time.since(Nanos(account.on_cpu.saturating_add(account.runnable).saturating_add(blocked))))
}

/// How a program started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartupTimeline {
    /// When the process called execve.
    pub begin: Nanos,
    /// The phases that it reached, in order.
    pub phases: Vec<Phase>,
    /// Every init that ran, in order.
    pub inits: Vec<Init>,
    /// From execve to `main.main`; none when it was not reached, or not seen.
    pub to_main: Option<Nanos>,
    /// When the process ended or became another program; none while it runs.
    pub ended: Option<Nanos>,
    /// The name of the program that it became.
    pub replaced_by: Option<String>,
    /// Boundaries between phases that no event marks: the phases beside them are left out.
    pub unmarked: Vec<Probe>,
    /// The main goroutine's long waits before `main.main`, in order.
    pub waits: Vec<Wait>,
    /// The files opened and addresses connected before `main.main`, in order.
    pub calls: Vec<NamedCall>,
    /// The libraries that were mapped before `main.main`, in order.
    pub libraries: Vec<Library>,
    /// When the program was ready, if it was seen to be.
    pub ready: Option<Nanos>,
    /// How long its control group kept it from running; none when unknown.
    pub throttled: Option<Nanos>,
    /// What there was when `main.main` began; none when it was not reached or goroutines were not counted.
    pub at_main: Option<Counts>,
}

impl StartupTimeline {
    /// Makes the timeline of the program that the first exec among `events` started; what follows a second
    /// exec belongs to another program.
    #[must_use]
    pub fn of(
        events: &[Event],
        catalogue: &InitCatalogue,
        symbols: &dyn Symbols,
        observation: &Observation,
    ) -> Self {
        let image = Image::cut(events);
        let ended = image.ended(observation.gone);
        let closing = if image.next.is_none() { observation.closing } else { None };
        // Inits end with their thread; others may take longer to end.
        let thread_end = closing.and_then(|_| image.main_thread_exit()).filter(|_| ended.is_some());
        let time = thread_end.or(ended).unwrap_or(observation.end);
        let horizon = Mark { time, account: closing, heap: None };
        let mut inits = inits(image.events, catalogue, horizon);
        let counted = catalogue.has_site(Probe::GoStart) && catalogue.has_site(Probe::GoExit);
        if counted {
            let started = started(image.events, &inits);
            inits.iter_mut().zip(started).for_each(|(init, started)| init.started = Some(started));
        }
        let marks = Marks::of(&image, catalogue, observation.begin, ended);
        let to_main = marks.main.map(|main| main.time.since(observation.begin));
        let go_entry = marks.go_entry.map(|mark| mark.time);
        let (mut phases, unmarked) = marks.phases(horizon);
        if catalogue.has_site(Probe::GcAssist) {
            assists::charge(&image, &mut phases, &mut inits);
        }
        let calls = named_calls(image.events, &inits);
        let libraries = libraries(image.events, &inits);
        if let Some(phase) = phases.iter_mut().find(|phase| phase.name == PhaseName::DynamicLink) {
            phase.steps = linking(image.events, phase.start, go_entry);
        }
        let mut timeline = Self {
            begin: observation.begin,
            phases,
            inits,
            to_main,
            ended,
            replaced_by: image.replaced_by(),
            unmarked,
            waits: Vec::new(),
            calls,
            libraries,
            throttled: observation.throttled,
            ready: observation.ready,
            at_main: if counted { counts(image.events) } else { None },
        };
        let present = observation.present.as_ref().filter(|_| image.next.is_none());
        timeline.waits = waits(image.events, present, &mut timeline, symbols);
        timeline
    }

    /// From execve to when the program was ready.
    #[must_use]
    pub fn to_ready(&self) -> Option<Nanos> {
        Some(self.ready?.since(self.begin))
    }

    /// Puts a wait's time under the cause that was found out, in its init and its phase.
    pub(super) fn reassign(&mut self, wait: &Wait, from: Cause) {
        if let Some(parts) = wait.init.and_then(|init| self.inits[init].parts.as_mut()) {
            parts.reassign(wait.duration, from, wait.cause);
        }
        let phase = self.phases.iter_mut().rfind(|phase| phase.start <= wait.start);
        if let Some(parts) = phase.and_then(|phase| phase.parts.as_mut()) {
            parts.reassign(wait.duration, from, wait.cause);
        }
    }
}

#[cfg(test)]
#[path = "startup_tests.rs"]
mod tests;
