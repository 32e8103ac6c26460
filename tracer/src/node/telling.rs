//! A start that is over, into the figures; and what is done once a second.

use std::time::{Duration, Instant};

use super::agent::Session;
use super::figures::{Figures, Outcome};
use super::looker::Question;
use super::programs::Watched;
use super::registry::Running;
use super::selector::Facts;
use super::workload::{Workload, label};
use crate::event::{Event, EventKind, Origin};
use crate::export::printable;
use crate::model::{InitCatalogue, InitName, Observation, SeenStart, StartupTimeline, Symbols};
use crate::probe::Probe;
use crate::target::gobin::Frame;
use crate::target::process::Process;
use crate::units::{Nanos, RuntimeAddr, boot_clock, clock_time};

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

/// What processes have is not asked more often.
const USAGE_INTERVAL: Duration = Duration::from_secs(5);

/// How many changes of what was lost are remembered.
const SNAPSHOTS: usize = 64;

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
        if !is_whole(start) && !known {
            figures.joined_late += 1;
        }
    }

    /// How it ended; none when the record that tells may be what was lost, or that was before its binary was watched.
    fn outcome(&mut self, start: &SeenStart, timeline: &StartupTimeline, begin: Nanos) -> Option<Outcome> {
        if timeline.to_main.is_some() {
            return Some(Outcome::Main);
        }
        let lost = self.kernel.ends_lost().unwrap_or(u64::MAX);
        let before =
            self.ends_lost.iter().rev().find(|(time, _)| *time <= begin).map_or(0, |(_, lost)| *lost);
        if lost > before || !is_whole(start) {
            return None;
        }
        Some(if timeline.replaced_by.is_some() { Outcome::Replaced } else { Outcome::Ended })
    }

    /// Asks what processes have, when somebody wanted to know since, and not more often than every five seconds.
    fn ask_usage(&mut self) {
        if self.asked_usage.is_some_and(|last| last.elapsed() < USAGE_INTERVAL) || self.looker.waiting() > 0 {
            return;
        }
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.scraped) {
            return;
        }
        let of = |running: &Running| (running.process.clone(), running.program.clone());
        let running: Vec<_> = state.registry.iter().map(of).collect();
        drop(state);
        self.asked_usage = Some(Instant::now());
        if !running.is_empty() {
            self.looker.ask(Question::Usage(running));
        }
    }

    /// When watching takes too much, the program goes whose starts are most to tell; it is looked at again a minute later.
    fn keep_budget(&mut self) {
        let Some(budget) = &mut self.budget else { return };
        let cpu = clock_time(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default();
        let hits = self.kernel.losses().map_or(0, |losses| losses.iter().map(|loss| loss.hits).sum());
        let Some(part) = budget.exceeded(Instant::now(), cpu, hits) else { return };
        let Some((number, events)) = self.programs.take_busiest() else { return };
        if let Some(Watched { program, .. }) = self.programs.get(number) {
            let exe = printable(&program.exe);
            tracing::warn!(%exe, events, part, "not watched for a minute: watching takes more than it may");
        }
        if let Err(error) = self.kernel.watching.disarm(number) {
            tracing::warn!("{error}");
        }
        self.programs.suspend(number, boot_clock());
        let mut state = self.state.lock();
        state.binaries = self.programs.len();
        state.tally.suspended += 1;
    }

    /// What is done about once a second.
    pub fn tick(&mut self) {
        self.forget_claims();
        self.look_around();
        // Before anything else that is asked every time.
        self.ask_usage();
        let files =
            self.programs.iter().map(|(number, watched)| (number, watched.program.clone(), watched.stamp));
        let files: Vec<_> = files.collect();
        if !files.is_empty() && self.looker.waiting() == 0 {
            self.looker.ask(Question::Files(files));
        }
        self.keep_budget();
        let (losses, lost) = (self.kernel.losses(), self.kernel.ends_lost());
        if let Ok(lost) = lost
            && self.ends_lost.back().is_none_or(|(_, last)| *last != lost)
        {
            if self.ends_lost.len() == SNAPSHOTS {
                self.ends_lost.pop_front();
            }
            self.ends_lost.push_back((boot_clock(), lost));
        }
        let resident = Process::of_pid(std::process::id()).ok().and_then(|own| own.resident()).unwrap_or(0);
        self.refusing = resident > self.memory_limit();
        let mut state = self.state.lock();
        if let Err(error) = state.registry.reap() {
            tracing::warn!("cannot ask which processes have ended: {error}");
        }
        match losses {
            Ok(losses) => state.losses = losses,
            Err(error) => tracing::warn!("cannot read the loss counters: {error}"),
        }
        (state.stray, state.under_way) =
            (self.starts.stray + self.kernel.undecodable, self.starts.under_way());
        let blind = "so many executables do not answer that no further one is looked at".to_owned();
        let large = format!("{resident} bytes of memory: no further binary is watched");
        for (reason, holds, why) in
            [("blind", self.looker.is_blind(), blind), ("memory", self.refusing, large)]
        {
            if !holds {
                state.reasons.remove(reason);
            } else if state.reasons.insert(reason, why.clone()).is_none() {
                tracing::warn!("{why}");
            }
        }
    }
}

/// Whether it was seen from its first instruction on.
fn is_whole(start: &SeenStart) -> bool {
    let first = start.events.iter().find_map(|event| match &event.kind {
        EventKind::Hit(hit) => Some(hit.probe),
        _ => None,
    });
    first == Some(Probe::GoEntry)
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
