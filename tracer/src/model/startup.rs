//! The startup timeline: from execve to `main.main` and beyond, in phases, and every package's init.

use std::collections::HashSet;
use std::fmt;

use tracer_ebpf::wire::Probe;

use super::catalogue::{InitCatalogue, InitFunction, InitName};
use super::goroutines::{Counts, Started, counts, started};
use super::libraries::{Library, libraries, linking};
use super::objects::{NamedCall, named_calls};
use super::parts::{Cause, Parts};
use super::waits::{Symbols, Wait, waits};
use crate::event::{self, Account, Event, EventKind, Heap, Hit};
use crate::target::gobin::Frame;
use crate::units::{Nanos, VirtAddr};

/// What is known besides the events.
#[derive(Clone, Debug)]
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

/// How a program started.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// A stretch of the startup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Which.
    pub name: PhaseName,
    /// When it began.
    pub start: Nanos,
    /// How long it took, or has taken so far.
    pub duration: Nanos,
    /// Whether it came to its end: `main` when the process exits, every other by reaching the next.
    pub done: bool,
    /// What it consists of, as far as that was probed.
    pub steps: Vec<Step>,
    /// Where its time went; none for `main`, whose goroutine is free to leave the main thread.
    pub parts: Option<Parts>,
}

/// A part of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The runtime's function.
    pub name: &'static str,
    /// When it was entered.
    pub start: Nanos,
    /// How long it took.
    pub duration: Nanos,
}

/// The phases of a startup, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseName {
    /// The kernel replaces the process's program: from the call of execve to its success.
    Exec,
    /// From there to the first Go instruction: the dynamic linker and C's own start-up, if there are any.
    DynamicLink,
    /// From there to `runtime.main`: scheduler, memory allocator, collector.
    RuntimeBootstrap,
    /// The runtime's own inits, up to the first init of another package.
    RuntimeInit,
    /// Every other package's init.
    PackageInit,
    /// `main.main`, to the end of the process.
    Main,
}

impl PhaseName {
    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::DynamicLink => "dynamic_link",
            Self::RuntimeBootstrap => "runtime_bootstrap",
            Self::RuntimeInit => "runtime_init",
            Self::PackageInit => "package_init",
            Self::Main => "main",
        }
    }
}

/// One package's init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// Whose.
    pub name: InitName,
    /// When it began.
    pub start: Nanos,
    /// How long it took, or has taken so far.
    pub wall: Nanos,
    /// Whether it came to its end.
    pub done: bool,
    /// Where its time went; none when its begin or end was not seen.
    pub parts: Option<Parts>,
    /// The module that the package comes from, with its version; none when the binary does not tell.
    pub module: Option<String>,
    /// The functions that it ran, in order.
    pub functions: Vec<TimedFunction>,
    /// The goroutines that were started while it ran; none when they were not counted.
    pub started: Option<Started>,
    /// What was allocated while it ran; none when it was not asked for, or not to be had.
    pub heap: Option<Allocated>,
}

/// What the whole process allocated on Go's heap in a stretch of time. Go's own inittrace counts what the main
/// goroutine does: the same, unless others allocate meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// How many objects.
    pub allocs: u64,
    /// In how many bytes, of their size classes.
    pub bytes: u64,
}

impl Allocated {
    fn between(from: Heap, to: Heap) -> Option<Self> {
        let allocs = to.allocs.checked_sub(from.allocs)?;
        Some(Self { allocs, bytes: to.bytes.checked_sub(from.bytes)? })
    }
}

impl fmt::Display for Allocated {
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits after the point")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            bytes @ ..1_000 => write!(f, "{bytes} B"),
            bytes @ 1_000..1_000_000 => write!(f, "{:.1} kB", bytes as f64 / 1e3),
            bytes => write!(f, "{:.1} MB", bytes as f64 / 1e6),
        }?;
        let plural = if self.allocs == 1 { "" } else { "s" };
        write!(f, " in {} allocation{plural}", self.allocs)
    }
}

/// A function of an init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedFunction {
    /// Which.
    pub function: InitFunction,
    /// When it began; none when it was not probed: then the one before holds its time as well. Of a package none of
    /// whose functions but the first could be seen to begin, none is told.
    pub start: Option<Nanos>,
    /// How long it took, or has taken so far.
    pub wall: Option<Nanos>,
}

impl Init {
    fn new(name: InitName, start: Nanos, module: Option<String>, functions: &[InitFunction]) -> Self {
        let told = functions.len() == 1 || functions.iter().any(|function| function.site.is_some());
        let functions = functions
            .iter()
            .enumerate()
            // The first begins with the task.
            .map(|(index, function)| TimedFunction {
                function: function.clone(),
                start: (told && index == 0).then_some(start),
                wall: None,
            })
            .collect();
        Self {
            name,
            start,
            wall: Nanos(0),
            done: false,
            parts: None,
            module,
            functions,
            started: None,
            heap: None,
        }
    }

    /// The function that is probed at `site` begins, and so ends the one before.
    fn enter(&mut self, site: VirtAddr, time: Nanos) {
        let entered = self
            .functions
            .iter()
            .position(|timed| timed.function.site == Some(site) && timed.start.is_none());
        if let Some(entered) = entered {
            self.leave(time);
            self.functions[entered].start = Some(time);
        }
    }

    fn leave(&mut self, time: Nanos) {
        let running = self.functions.iter_mut().rfind(|timed| timed.start.is_some() && timed.wall.is_none());
        if let Some(timed) = running {
            timed.wall = timed.start.map(|start| time.since(start));
        }
    }

    /// Whether that moment lies in it.
    #[must_use]
    pub fn contains(&self, time: Nanos) -> bool {
        self.start <= time && (time.since(self.start) < self.wall || !self.done)
    }

    /// Whether the package is unknown.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        matches!(self.name, InitName::Unknown(_))
    }

    /// The package's path, or what stands for it.
    #[must_use]
    pub fn package(&self) -> String {
        match &self.name {
            InitName::Package(package) => package.clone(),
            InitName::Empty => String::new(),
            InitName::Unknown(address) => format!("?{address:#x}"),
        }
    }
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

/// A moment of the startup.
#[derive(Clone, Copy)]
struct Mark {
    time: Nanos,
    /// Where the main thread's time had gone by then, if that is known.
    account: Option<Account>,
    /// What had been allocated by then, if that is known.
    heap: Option<Heap>,
}

impl Mark {
    fn of_hit(time: Nanos, hit: &Hit) -> Self {
        Self { time, account: Some(hit.account), heap: hit.heap }
    }

    fn allocated_until(self, end: Self) -> Option<Allocated> {
        Allocated::between(self.heap?, end.heap?)
    }

    fn parts_until(self, end: Self) -> Option<Parts> {
        Some(Parts::between(&self.account?, &end.account?, end.time.since(self.time)))
    }
}

/// The events of one program: from its exec to the next one's.
struct Image<'a> {
    exec: Option<Mark>,
    events: &'a [Event],
    next: Option<&'a Event>,
}

impl<'a> Image<'a> {
    fn cut(events: &'a [Event]) -> Self {
        let exec = |event: &Event| match &event.kind {
            EventKind::Exec { account, .. } => {
                Some(Mark { time: event.time, account: Some(*account), heap: None })
            }
            _ => None,
        };
        let first = events.iter().position(|event| exec(event).is_some());
        let rest = &events[first.map_or(0, |index| index + 1)..];
        let length = rest.iter().position(|event| exec(event).is_some()).unwrap_or(rest.len());
        let exec = first.and_then(|index| exec(&events[index]));
        Self { exec, events: &rest[..length], next: rest.get(length) }
    }

    /// When the next program began, or the last thread ended. An exit is one of a thread, so it is the
    /// process's own only when the process is known to be gone.
    fn ended(&self, gone: Option<Nanos>) -> Option<Nanos> {
        if let Some(next) = self.next {
            return Some(next.time);
        }
        let gone = gone?;
        let last_exit = self.events.iter().rev().find(|event| event.kind == EventKind::Exit);
        Some(last_exit.map_or(gone, |exit| exit.time))
    }

    /// When the thread ended that the first probed instruction ran on.
    fn main_thread_exit(&self) -> Option<Nanos> {
        let main = self.events.iter().find(|event| matches!(event.kind, EventKind::Hit(_)))?.tid;
        let exit = self.events.iter().rev().find(|event| event.kind == EventKind::Exit && event.tid == main);
        exit.map(|exit| exit.time)
    }

    fn replaced_by(&self) -> Option<String> {
        match &self.next?.kind {
            EventKind::Exec { comm, .. } => Some(comm.clone()),
            _ => None,
        }
    }

    fn hits(&self) -> impl Iterator<Item = (Nanos, &'a Hit)> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Hit(hit) => Some((event.time, hit)),
            _ => None,
        })
    }

    /// A once-only hook may fire again when the stack grows under it; the first hit counts.
    fn first(&self, probe: Probe) -> Option<Mark> {
        self.hits().find(|(_, hit)| hit.probe == probe).map(|(time, hit)| Mark::of_hit(time, hit))
    }
}

/// When each phase began.
struct Marks {
    begin: Mark,
    exec: Option<Mark>,
    go_entry: Option<Mark>,
    bootstrap: Vec<Step>,
    runtime: Vec<Step>,
    runtime_main: Option<Mark>,
    package_init: Option<Mark>,
    /// Whether packages' inits may have begun where none is probed.
    packages_unseen: bool,
    main: Option<Mark>,
    ended: Option<Nanos>,
}

impl Marks {
    fn of(image: &Image<'_>, catalogue: &InitCatalogue, begin: Nanos, ended: Option<Nanos>) -> Self {
        let main = image.first(Probe::MainMain);
        let step = |name, begin, end| {
            let (start, end) = image.first(begin).zip(image.first(end))?;
            Some(Step { name, start: start.time, duration: end.time.since(start.time) })
        };
        let bootstrap = [
            step("schedinit", Probe::SchedInit, Probe::SchedInitDone),
            step("mallocinit", Probe::MallocInit, Probe::MallocInitDone),
            step("gcinit", Probe::GcInit, Probe::GcInitDone),
            step("procresize", Probe::ProcResize, Probe::ProcResizeDone),
            step("first_goroutine", Probe::GoStart, Probe::RuntimeMain),
        ];
        let package_init = first_package_init(image, catalogue, main);
        let until_packages = |name, begin| {
            let (start, end) = image.first(begin).zip(package_init)?;
            Some(Step { name, start: start.time, duration: end.time.since(start.time) })
        };
        let runtime = [until_packages("sysmon", Probe::Sysmon), until_packages("gcenable", Probe::GcEnable)];
        Self {
            // The account begins with the call of execve.
            begin: Mark { time: begin, account: Some(Account::default()), heap: None },
            exec: image.exec,
            go_entry: image.first(Probe::GoEntry),
            bootstrap: bootstrap.into_iter().flatten().collect(),
            runtime: runtime.into_iter().flatten().collect(),
            runtime_main: image.first(Probe::RuntimeMain),
            package_init,
            packages_unseen: image.first(Probe::GcEnable).is_some() && !catalogue.has_site(Probe::Init),
            main,
            ended,
        }
    }

    /// The phases that were reached, and the boundaries that were passed without a mark.
    fn phases(self, horizon: Mark) -> (Vec<Phase>, Vec<Probe>) {
        let packages = if self.packages_unseen { Probe::Init } else { Probe::GcEnable };
        let starts = [
            (PhaseName::Exec, Probe::Exec, Some(self.begin)),
            (PhaseName::DynamicLink, Probe::Exec, self.exec),
            (PhaseName::RuntimeBootstrap, Probe::GoEntry, self.go_entry),
            (PhaseName::RuntimeInit, Probe::RuntimeMain, self.runtime_main),
            (PhaseName::PackageInit, packages, self.package_init),
            (PhaseName::Main, Probe::MainMain, self.main),
        ];
        let is_reached = |name, start: Option<Mark>| {
            start.is_some() || (name == PhaseName::PackageInit && self.packages_unseen)
        };
        let reached = starts.iter().rposition(|(name, _, start)| is_reached(*name, *start)).unwrap_or(0);
        let mut phases = Vec::new();
        let mut unmarked = Vec::new();
        for (index, (name, probe, start)) in starts.iter().enumerate().take(reached + 1) {
            let Some(start) = *start else {
                unmarked.push(*probe);
                continue;
            };
            let (end, done) = if index == reached {
                (horizon, *name == PhaseName::Main && self.ended.is_some())
            } else if let (_, _, Some(next)) = starts[index + 1] {
                (next, true)
            } else {
                // The end is unknown, and so is how long it took.
                continue;
            };
            let steps = match name {
                PhaseName::RuntimeBootstrap => self.bootstrap.clone(),
                PhaseName::RuntimeInit => self.runtime.clone(),
                _ => Vec::new(),
            };
            let parts = if *name == PhaseName::Main { None } else { start.parts_until(end) };
            let duration = end.time.since(start.time);
            phases.push(Phase { name: *name, start: start.time, duration, done, steps, parts });
        }
        (phases, unmarked)
    }
}

/// The runtime's own inits are over when `gcenable` is called; the first init after it that has not run yet
/// is a package's. A program without any goes straight to `main.main`; where inits were not probed, that
/// cannot be told from one that has them.
fn first_package_init(image: &Image<'_>, catalogue: &InitCatalogue, main: Option<Mark>) -> Option<Mark> {
    let enabled = image.first(Probe::GcEnable).filter(|_| catalogue.has_site(Probe::Init))?;
    let mut seen = HashSet::new();
    for (time, hit) in image.hits().filter(|(_, hit)| hit.probe == Probe::Init) {
        let Some(task) = catalogue.task_address(hit) else { continue };
        let new = seen.insert(task) && catalogue.name(task) != InitName::Empty;
        if new && time >= enabled.time {
            return Some(Mark::of_hit(time, hit));
        }
    }
    main
}

/// Every init that ran. One ends where the next step of the runtime begins, so no probe on its return is
/// needed.
fn inits(events: &[Event], catalogue: &InitCatalogue, horizon: Mark) -> Vec<Init> {
    let mut inits: Vec<Init> = Vec::new();
    let mut open: Option<Mark> = None;
    let mut bias = None;
    let mut seen: HashSet<VirtAddr> = HashSet::new();
    let close = |inits: &mut Vec<Init>, open: &mut Option<Mark>, end: Mark, done: bool| {
        if let (Some(start), Some(init)) = (open.take(), inits.last_mut()) {
            init.wall = end.time.since(start.time);
            init.leave(end.time);
            init.parts = start.parts_until(end);
            init.heap = start.allocated_until(end);
            init.done = done;
        }
    };
    for event in events {
        let EventKind::Hit(hit) = &event.kind else { continue };
        if hit.probe == Probe::InitFunction
            && open.is_some()
            && let (Some(init), Some(bias)) = (inits.last_mut(), bias)
        {
            init.enter(VirtAddr(hit.ip.0.wrapping_sub(bias)), event.time);
        }
        if !matches!(hit.probe, Probe::Init | Probe::GcEnable | Probe::MainMain) {
            continue;
        }
        let mark = Mark::of_hit(event.time, hit);
        close(&mut inits, &mut open, mark, true);
        if hit.probe != Probe::Init {
            continue;
        }
        bias = catalogue.bias(hit);
        // Go >= 1.21 passes the runtime's own tasks a second time, to no effect.
        let Some(task) = catalogue.task_address(hit).filter(|task| seen.insert(*task)) else { continue };
        let name = catalogue.name(task);
        if name != InitName::Empty {
            let module = catalogue.module_of(&name);
            inits.push(Init::new(name, event.time, module, catalogue.functions(task)));
            open = Some(mark);
        }
    }
    close(&mut inits, &mut open, horizon, false);
    inits
}

#[cfg(test)]
#[path = "startup_tests.rs"]
mod tests;
