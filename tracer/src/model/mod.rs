//! Events -> histories. Pure and deterministic: the same events give the same report.

mod catalogue;
pub mod diff;
mod recording;
mod report;
pub mod series;
mod spread;
mod startup;

pub use catalogue::{InitCatalogue, InitName};
pub use recording::{Program, Recording, RecordingError};
pub use report::{Ending, MainReached, MissingProbe, Report, Subject, Totals};
pub use spread::Spread;
pub use startup::{Init, Observation, Phase, PhaseName, StartupTimeline, Step};
