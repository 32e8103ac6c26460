//! Every package's init, and what it ran and allocated.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use tracer_ebpf::wire::Probe;

use super::catalogue::{InitCatalogue, InitFunction, InitName};
use super::goroutines::Started;
use super::image::Mark;
use super::parts::Parts;
use super::startup::StartupTimeline;
use crate::event::{Event, EventKind, Heap};
use crate::units::{Nanos, VirtAddr};

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
    /// The first package in the order of the inits that imports it, as far as the binary proves; looked for where the init
    /// took long ([`StartupTimeline::slow_packages`]).
    pub imported_by: Option<String>,
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
    pub(super) fn between(from: Heap, to: Heap) -> Option<Self> {
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

/// From this much on it is told who imports an init's package.
const SLOW: Nanos = Nanos(1_000_000);

impl StartupTimeline {
    /// The packages whose inits took long: a millisecond or more.
    #[must_use]
    pub fn slow_packages(&self) -> BTreeSet<String> {
        let slow = self.inits.iter().filter(|init| init.wall >= SLOW);
        slow.filter_map(Init::known_package).map(str::to_owned).collect()
    }

    /// Names who imports packages.
    pub(super) fn name_importers(&mut self, importers: &BTreeMap<String, String>) {
        for init in &mut self.inits {
            init.imported_by = init.known_package().and_then(|package| importers.get(package)).cloned();
        }
    }
}

impl Init {
    fn known_package(&self) -> Option<&str> {
        match &self.name {
            InitName::Package(package) => Some(package),
            InitName::Empty | InitName::Unknown(_) => None,
        }
    }

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
            imported_by: None,
            functions,
            started: None,
            heap: None,
        }
    }

    /// One that is over, and of which nothing else is known.
    #[cfg(test)]
    pub(crate) fn over(name: InitName, start: Nanos, wall: Nanos) -> Self {
        Self { wall, done: true, ..Self::new(name, start, None, &[]) }
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

/// Every init that ran. One ends where the next step of the runtime begins, so no probe on its return is
/// needed.
pub(super) fn inits(events: &[Event], catalogue: &InitCatalogue, horizon: Mark) -> Vec<Init> {
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
mod tests {
    use super::*;

    #[test]
    fn functions_of_which_none_could_be_seen_to_begin_have_no_times() {
        let function = |site| InitFunction { name: "init".to_owned(), file: None, line: 0, site };
        let starts = |functions: &[InitFunction]| -> Vec<Option<Nanos>> {
            let init = Init::new(InitName::Empty, Nanos(7), None, functions);
            init.functions.iter().map(|timed| timed.start).collect()
        };
        assert_eq!(starts(&[function(None)]), [Some(Nanos(7))]);
        assert_eq!(starts(&[function(None), function(None)]), [None, None]);
        let probed = function(Some(VirtAddr(1)));
        assert_eq!(starts(&[function(None), function(None), probed]), [Some(Nanos(7)), None, None]);
    }
}
