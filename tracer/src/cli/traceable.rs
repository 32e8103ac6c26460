//! A binary and where it is probed.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use crate::model::{InitCatalogue, MissingProbe};
use crate::probe::plan::{self, Detail, MissingHook, StartupPlan};
use crate::target::gobin::{GoBinary, Machine, Support};

/// A Go program that can be traced, at least in part.
pub(super) struct Traceable {
    pub(super) binary: GoBinary,
    pub(super) plan: StartupPlan,
    /// Its inits, once they were asked for.
    pub(super) catalogue: OnceCell<InitCatalogue>,
    /// Who imports the packages that were asked for.
    pub(super) importers: RefCell<BTreeMap<String, Option<String>>>,
}

impl Traceable {
    /// What cannot be traced is refused here, each with its reason; what can only partly be, says so.
    pub(super) fn of(binary: GoBinary, detail: Detail) -> anyhow::Result<Self> {
        let refuse = |reason: String| Err(super::exit::TargetRefused(reason).into());
        let shown = binary.path().display();
        let host = Machine::HOST;
        if binary.machine() != host {
            return refuse(format!(
                "{shown} is built for {}, this machine is {host}; gotrace inspect still reads it",
                binary.machine()
            ));
        }
        if let Support::TooOld = binary.support() {
            return refuse(format!(
                "{shown} was built by {}; gotrace knows Go 1.19 to 1.27. gotrace inspect still shows what it is",
                binary.version()
            ));
        }
        let plan = plan::startup(&binary, detail);
        if plan.sites.is_empty() {
            let reasons: Vec<String> = plan
                .missing
                .iter()
                .map(|missing| format!("{}: {}", missing.function, missing.reason))
                .collect();
            return refuse(format!("{shown} offers no place to probe: {}", reasons.join("; ")));
        }
        for MissingHook { hook, function, reason } in &plan.missing {
            if hook.is_detail() {
                tracing::info!("not probed: {hook} ({function}): {reason}");
            } else {
                tracing::warn!("not probed: {hook} ({function}): {reason}");
            }
        }
        Ok(Self { binary, plan, catalogue: OnceCell::new(), importers: RefCell::default() })
    }

    /// What could not be probed.
    pub(super) fn missing(&self) -> Vec<MissingProbe> {
        self.plan.missing.iter().cloned().map(MissingProbe::of_start).collect()
    }
}
