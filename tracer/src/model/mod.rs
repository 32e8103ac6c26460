//! Events -> histories. Pure and deterministic: the same events give the same report.

mod catalogue;
mod parts;
mod report;
mod startup;

pub use catalogue::{InitCatalogue, InitName};
pub use parts::{Cause, Parts};
pub use report::{Ending, MainReached, MissingProbe, Report, Subject, Totals};
pub use startup::{Init, Observation, Phase, PhaseName, StartupTimeline, Step};
