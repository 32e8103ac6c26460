//! Events -> histories. Pure and deterministic: the same events give the same report.

mod catalogue;
mod report;
mod stack;
mod startup;
mod status;
mod status_report;

pub use catalogue::{InitCatalogue, InitName};
pub use report::{Ending, MainReached, MissingProbe, Report, Subject, Totals};
pub use stack::{Code, LoadedCode, Stack};
pub use startup::{Init, Observation, Phase, PhaseName, StartupTimeline, Step};
pub use status::{AtLeast, Evidence, MainView, Stage, StartupStatus};
pub use status_report::{StatusReport, Usage};
