//! Events -> histories. Pure and deterministic: the same events give the same report.

pub mod budget;
mod catalogue;
pub mod diff;
mod recording;
mod repeats;
mod report;
pub mod series;
mod spread;
mod startup;

pub use catalogue::{InitCatalogue, InitName};
pub use recording::{Program, Recording, RecordingError};
pub use repeats::Repeats;
pub use report::{Ending, MainReached, MissingProbe, Repetition, Report, Subject, Totals};
pub use spread::Spread;
pub use startup::{Init, Observation, Phase, PhaseName, StartupTimeline, Step};
