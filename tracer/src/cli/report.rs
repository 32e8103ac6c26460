//! A traced start's events -> its report.

use super::traceable::Traceable;
use crate::event::{Event, EventKind, Hit};
use crate::model::{
    BinarySymbols, Ending, InitCatalogue, InitFunction, InitName, Observation, Report, StartupTimeline,
    Subject,
};
use crate::probe::Probe;
use crate::target::gobin::InitTask;
use crate::units::VirtAddr;

impl Traceable {
    /// The report of a start, without what the kernel side counted. A program that became another one has ended
    /// by that, whatever `ending` says.
    pub(super) fn report(
        &self,
        subject: Subject,
        events: &[Event],
        observation: &Observation,
        ending: Ending,
    ) -> Report {
        let catalogue = self.catalogue(events);
        let bias = bias(&catalogue, events);
        let symbols = BinarySymbols { binary: &self.binary, bias };
        let timeline = StartupTimeline::of(events, &catalogue, &symbols, observation);
        Report {
            ending: timeline.replaced_by.clone().map_or(ending, Ending::Replaced),
            subject,
            timeline,
            missing: self.missing(),
            losses: Vec::new(),
            undecodable: 0,
            awaited: None,
            gc: None,
        }
    }

    /// By how much the process's addresses are larger than the binary's; 0 when no event tells.
    pub(super) fn bias(&self, events: &[Event]) -> u64 {
        bias(&InitCatalogue::new([], self.sites()), events)
    }

    fn sites(&self) -> impl Iterator<Item = (Probe, VirtAddr)> {
        self.plan.sites.iter().map(|planned| (planned.hook, planned.site.address))
    }

    /// The binary's inits, and those that only the events know.
    fn catalogue(&self, events: &[Event]) -> InitCatalogue {
        let binary = &self.binary;
        let tasks = binary.init_tasks().unwrap_or_else(|error| {
            tracing::warn!("the list of inits is not to be had: {error}");
            Vec::new()
        });
        let tasks = tasks.into_iter().map(|task| {
            let functions = self.functions(&task);
            (task, functions)
        });
        let modules =
            binary.build_info().into_iter().flat_map(|info| info.main.iter().chain(&info.dependencies));
        let mut catalogue = InitCatalogue::new(tasks, self.sites()).with_modules(modules.cloned());
        self.add_unlisted_tasks(&mut catalogue, events);
        catalogue
    }

    /// What an init task runs, by name and place.
    fn functions(&self, task: &InitTask) -> Vec<InitFunction> {
        let Self { binary, plan } = self;
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
    fn add_unlisted_tasks(&self, catalogue: &mut InitCatalogue, events: &[Event]) {
        for hit in hits(events).filter(|hit| hit.probe == Probe::Init) {
            let Some(address) = catalogue.task_address(hit) else { continue };
            if let InitName::Unknown(_) = catalogue.name(address) {
                match self.binary.init_task(address) {
                    Ok(task) => {
                        let functions = self.functions(&task);
                        catalogue.add(task, functions);
                    }
                    Err(error) => tracing::warn!("the init task at {address:#x} is unknown: {error}"),
                }
            }
        }
    }
}

/// The probed instructions that were reached.
pub(super) fn hits(events: &[Event]) -> impl Iterator<Item = &Hit> {
    events.iter().filter_map(|event| match &event.kind {
        EventKind::Hit(hit) => Some(hit),
        _ => None,
    })
}

/// The release of the running kernel, for a report's header.
pub(super) fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "?".to_owned(), |release| release.trim().to_owned())
}

fn bias(catalogue: &InitCatalogue, events: &[Event]) -> u64 {
    hits(events).find_map(|hit| catalogue.bias(hit)).unwrap_or(0)
}
