//! Which package an init task's address stands for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tracer_ebpf::wire::Probe;

use crate::event::{Event, EventKind, Hit};
use crate::target::gobin::{Frame, InitTask, Module};
use crate::units::VirtAddr;

/// A binary's init tasks by address, and its probe sites, from which a hit tells the load bias.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InitCatalogue {
    /// Paths and versions.
    modules: Vec<(String, String)>,
    tasks: BTreeMap<VirtAddr, Entry>,
    sites: BTreeMap<Probe, VirtAddr>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    package: String,
    functions: Vec<InitFunction>,
}

/// One of the functions that an init task runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitFunction {
    /// Its name: `net/http.init` for the initialisation of variables, `net/http.init.0` for the first `init`.
    pub name: String,
    /// The file that it begins in, when that is known.
    pub file: Option<String>,
    /// The line that it begins in; zero when it is not known.
    pub line: u32,
    /// Where it is probed. The first of a package needs no probe: it begins with the task.
    pub site: Option<VirtAddr>,
}

impl InitFunction {
    /// The place where it begins.
    #[must_use]
    pub fn begin(&self) -> Frame {
        Frame {
            function: self.name.as_str().into(),
            file: self.file.as_deref().map(Into::into),
            line: self.line,
            inlined: false,
            begins: self.line,
            address: None,
        }
    }
}

/// What an init task is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitName {
    /// The package whose init it is.
    Package(String),
    /// The task has no functions of its own: there is nothing to run, and Go's own inittrace skips it.
    Empty,
    /// No task is known at that address.
    Unknown(VirtAddr),
}

impl InitCatalogue {
    /// For a binary with these init tasks, probed at these sites.
    #[must_use]
    pub fn new(
        tasks: impl IntoIterator<Item = (InitTask, Vec<InitFunction>)>,
        sites: impl IntoIterator<Item = (Probe, VirtAddr)>,
    ) -> Self {
        let mut catalogue = Self { sites: sites.into_iter().collect(), ..Self::default() };
        for (task, functions) in tasks {
            catalogue.add(task, functions);
        }
        catalogue
    }

    /// The modules that the binary was built from, with their versions.
    #[must_use]
    pub fn with_modules(mut self, modules: impl IntoIterator<Item = Module>) -> Self {
        self.modules = modules.into_iter().map(|Module { path, version }| (path, version)).collect();
        self
    }

    /// The module that holds the package, as `path@version`.
    #[must_use]
    pub fn module_of(&self, name: &InitName) -> Option<String> {
        let InitName::Package(package) = name else { return None };
        let holds = |module: &str| {
            package.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let (path, version) =
            self.modules.iter().filter(|(path, _)| holds(path)).max_by_key(|(path, _)| path.len())?;
        Some(format!("{path}@{version}"))
    }

    /// With the other's tasks as well.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.tasks.extend(other.tasks);
        self
    }

    /// Adds one more task with its functions.
    pub fn add(&mut self, task: InitTask, functions: Vec<InitFunction>) {
        self.tasks.insert(task.address, Entry { package: task.package, functions });
    }

    /// The functions of the task at that address, in the order in which they run.
    #[must_use]
    pub fn functions(&self, address: VirtAddr) -> &[InitFunction] {
        self.tasks.get(&address).map_or(&[], |entry| &entry.functions)
    }

    /// Whether that probe was planned: only then does the lack of its hits mean anything.
    #[must_use]
    pub fn has_site(&self, probe: Probe) -> bool {
        self.sites.contains_key(&probe)
    }

    /// How far from the addresses that it states the binary was loaded, as this hit tells.
    #[must_use]
    pub fn bias(&self, hit: &Hit) -> Option<u64> {
        Some(hit.ip.0.wrapping_sub(self.sites.get(&hit.probe)?.0))
    }

    /// The same, as the first of them tells whose probe was planned; 0 when none does.
    #[must_use]
    pub fn bias_of(&self, events: &[Event]) -> u64 {
        let bias = |event: &Event| match &event.kind {
            EventKind::Hit(hit) => self.bias(hit),
            _ => None,
        };
        events.iter().find_map(bias).unwrap_or(0)
    }

    /// The address, as the binary states it, of the task that this hit began; none for a hit of a probe that
    /// was not planned.
    #[must_use]
    pub fn task_address(&self, hit: &Hit) -> Option<VirtAddr> {
        Some(VirtAddr(hit.argument.wrapping_sub(self.bias(hit)?)))
    }

    /// The name of the task at that address.
    #[must_use]
    pub fn name(&self, address: VirtAddr) -> InitName {
        match self.tasks.get(&address) {
            None => InitName::Unknown(address),
            Some(entry) if !entry.functions.is_empty() => InitName::Package(entry.package.clone()),
            Some(_) => InitName::Empty,
        }
    }
}
