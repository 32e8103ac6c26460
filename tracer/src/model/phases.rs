//! The phases of a startup, from the moments that their first instructions mark.

use std::collections::HashSet;

use tracer_ebpf::wire::Probe;

use super::catalogue::{InitCatalogue, InitName};
use super::image::{Image, Mark};
use super::parts::Parts;
use crate::event::Account;
use crate::units::Nanos;

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

impl Phase {
    /// Whether that moment lies in it.
    #[must_use]
    pub fn contains(&self, time: Nanos) -> bool {
        self.start <= time && (time.since(self.start) < self.duration || !self.done)
    }
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

impl Step {
    /// From one moment to the other, if both were seen in this order.
    fn between(name: &'static str, start: Option<Mark>, end: Option<Mark>) -> Option<Self> {
        let (start, end) = start.zip(end).filter(|(start, end)| start.time <= end.time)?;
        Some(Self { name, start: start.time, duration: end.time.since(start.time) })
    }
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

/// When each phase began.
pub(super) struct Marks {
    begin: Mark,
    exec: Option<Mark>,
    pub(super) go_entry: Option<Mark>,
    bootstrap: Vec<Step>,
    runtime: Vec<Step>,
    packages: Vec<Step>,
    runtime_main: Option<Mark>,
    package_init: Option<Mark>,
    /// Whether packages' inits may have begun where none is probed.
    packages_unseen: bool,
    pub(super) main: Option<Mark>,
    ended: Option<Nanos>,
}

impl Marks {
    pub(super) fn of(
        image: &Image<'_>,
        catalogue: &InitCatalogue,
        begin: Nanos,
        ended: Option<Nanos>,
    ) -> Self {
        let main = image.first(Probe::MainMain);
        let step = |name, begin, end| Step::between(name, image.first(begin), image.first(end));
        let bootstrap = [
            step("schedinit", Probe::SchedInit, Probe::SchedInitDone),
            step("mallocinit", Probe::MallocInit, Probe::MallocInitDone),
            step("gcinit", Probe::GcInit, Probe::GcInitDone),
            step("procresize", Probe::ProcResize, Probe::ProcResizeDone),
            step("first_goroutine", Probe::GoStart, Probe::RuntimeMain),
        ];
        let package_init = first_package_init(image, catalogue, main);
        let gcenable = Step::between("gcenable", image.first(Probe::GcEnable), package_init);
        // Its thread may come to run when packages' inits do already.
        let sysmon = image.first(Probe::Sysmon);
        let early = Step::between("sysmon", sysmon, package_init);
        let late = if early.is_none() { Step::between("sysmon", sysmon, main) } else { None };
        Self {
            // The account begins with the call of execve.
            begin: Mark { time: begin, account: Some(Account::default()), heap: None },
            exec: image.exec,
            go_entry: image.first(Probe::GoEntry),
            bootstrap: bootstrap.into_iter().flatten().collect(),
            runtime: [early, gcenable].into_iter().flatten().collect(),
            packages: late.into_iter().collect(),
            runtime_main: image.first(Probe::RuntimeMain),
            package_init,
            packages_unseen: image.first(Probe::GcEnable).is_some() && !catalogue.has_site(Probe::Init),
            main,
            ended,
        }
    }

    /// The phases that were reached, and the boundaries that were passed without a mark.
    pub(super) fn phases(self, horizon: Mark) -> (Vec<Phase>, Vec<Probe>) {
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
                PhaseName::PackageInit => self.packages.clone(),
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
