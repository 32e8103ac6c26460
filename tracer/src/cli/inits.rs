//! A binary's inits, and what a traced start's events tell with them.

use std::collections::{BTreeMap, BTreeSet};

use super::recorder::Recorder;
use super::traceable::Traceable;
use crate::capture::{RecordedSymbols, record};
use crate::event::{Event, EventKind, Hit};
use crate::model::gc::GcHistory;
use crate::model::{BinarySymbols, InitCatalogue, InitFunction, InitName, Report, StartInput};
use crate::probe::Probe;
use crate::target::gobin::InitTask;
use crate::units::VirtAddr;

impl Traceable {
    /// The report of a start, which is recorded if that was asked for.
    pub(super) fn report(
        &self,
        mut input: StartInput,
        events: &[Event],
        history: Option<&GcHistory>,
        recorder: &mut Recorder,
    ) -> Report {
        let unlisted = self.unlisted(events);
        let catalogue = self.catalogue().clone().with(unlisted.clone());
        let binary = BinarySymbols { binary: &self.binary, bias: catalogue.bias_of(events) };
        let symbols = RecordedSymbols::new(&binary);
        let told = |input: StartInput| Report::of_start(input, &catalogue, events, history, &symbols);
        let mut report = told(input.clone());
        input.importers = self.importers(&report.timeline.slow_packages());
        if !input.importers.is_empty() {
            report = told(input.clone());
        }
        recorder.start(symbols, record::Start { input, unlisted, left_out: 0 });
        report
    }

    /// The inits that the binary lists, and where it is probed.
    pub(super) fn catalogue(&self) -> &InitCatalogue {
        self.catalogue.get_or_init(|| {
            let binary = &self.binary;
            let tasks = binary.init_tasks().unwrap_or_else(|error| {
                tracing::warn!("the list of inits is not to be had: {error}");
                Vec::new()
            });
            let tasks = tasks.into_iter().map(|task| {
                let functions = self.functions(&task);
                (task, functions)
            });
            let sites = self.plan.sites.iter().map(|planned| (planned.hook, planned.site.address));
            let modules =
                binary.build_info().into_iter().flat_map(|info| info.main.iter().chain(&info.dependencies));
            InitCatalogue::new(tasks, sites).with_modules(modules.cloned())
        })
    }

    /// Who imports these packages. Each is looked for once: that takes some tenths of a second of a large binary.
    fn importers(&self, packages: &BTreeSet<String>) -> BTreeMap<String, String> {
        let mut known = self.importers.borrow_mut();
        let new: BTreeSet<String> =
            packages.iter().filter(|package| !known.contains_key(*package)).cloned().collect();
        if !new.is_empty() {
            let mut found = self.binary.first_importers(&new);
            known.extend(new.into_iter().map(|package| {
                let importer = found.remove(&package);
                (package, importer)
            }));
        }
        let importer_of = |package: &String| Some((package.clone(), known.get(package)?.clone()?));
        packages.iter().filter_map(importer_of).collect()
    }

    /// What an init task runs, by name and place.
    fn functions(&self, task: &InitTask) -> Vec<InitFunction> {
        let Self { binary, plan, .. } = self;
        let probed: Vec<_> =
            plan.sites.iter().filter(|planned| planned.hook == Probe::InitFunction).collect();
        let describe = |address: &VirtAddr| {
            let Some(function) = binary.functions().containing(*address) else {
                return InitFunction { name: format!("?{address:#x}"), file: None, line: 0, site: None };
            };
            let within = |site: &VirtAddr| function.entry <= *site && *site < function.end;
            let site = probed.iter().map(|planned| planned.site.address).find(within);
            let (file, line) = binary.written(&function);
            InitFunction { name: function.name, file, line, site }
        };
        task.functions.iter().map(describe).collect()
    }

    /// The runtime's own tasks need not be in the binary's list; each is read at the address that was hit.
    fn unlisted(&self, events: &[Event]) -> InitCatalogue {
        let listed = self.catalogue();
        let mut unlisted = InitCatalogue::default();
        for hit in hits(events).filter(|hit| hit.probe == Probe::Init) {
            let Some(address) = listed.task_address(hit) else { continue };
            let is_unknown =
                |catalogue: &InitCatalogue| matches!(catalogue.name(address), InitName::Unknown(_));
            if is_unknown(listed) && is_unknown(&unlisted) {
                match self.binary.init_task(address) {
                    Ok(task) => {
                        let functions = self.functions(&task);
                        unlisted.add(task, functions);
                    }
                    Err(error) => tracing::warn!("the init task at {address:#x} is unknown: {error}"),
                }
            }
        }
        unlisted
    }
}

/// The probed instructions that were reached.
pub(super) fn hits(events: &[Event]) -> impl Iterator<Item = &Hit> {
    events.iter().filter_map(|event| match &event.kind {
        EventKind::Hit(hit) => Some(hit),
        _ => None,
    })
}
