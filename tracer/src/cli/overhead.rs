//! What the probes cost on this machine, where it can be measured.

use super::session::start_config;
use crate::probe::load::LoadOptions;
use crate::probe::{Costs, Starts, watch_config};
use crate::target::pid_namespace;
use tracer_ebpf::config::Config;

/// Of a `gotrace run`, when the program is through its start.
pub(super) fn of_run() -> Option<Costs> {
    measured(|| Ok(Costs::of_run(LoadOptions::of_start(start_config(std::process::id())?))?))
}

/// Of a `gotrace watch`, before any program is watched.
pub(super) fn of_watch() -> Option<Costs> {
    measured(|| {
        anyhow::ensure!(
            pid_namespace::current()?.is_none(),
            "gotrace does not know its id in the initial PID namespace"
        );
        let starts = Starts { config: watch_config(false), ..Starts::NONE };
        Ok(Costs::of_watch(LoadOptions { starts, ..LoadOptions::of_start(Config::default()) })?)
    })
}

/// No report fails for it.
fn measured(measure: impl FnOnce() -> anyhow::Result<Costs>) -> Option<Costs> {
    let costs = measure().inspect_err(|error| tracing::warn!("what the probes cost is not known: {error:#}"));
    costs.inspect(|costs| tracing::info!("measured: {costs:?}")).ok()
}
