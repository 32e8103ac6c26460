//! Events -> histories. Pure and deterministic: the same events give the same report.

pub mod budget;
mod catalogue;
pub mod diff;
mod findings;
mod goroutines;
mod libraries;
mod objects;
mod parts;
mod ready;
mod recording;
mod repeats;
mod report;
pub mod series;
mod spread;
mod stack;
mod startup;
mod status;
mod status_report;
mod symbols;
mod waits;

pub use catalogue::{InitCatalogue, InitFunction, InitName};
pub use findings::{Finding, findings};
pub use goroutines::{Counts, Started};
pub use libraries::Library;
pub use parts::{Cause, Parts};
pub use ready::{ReadyError, ReadyWhen};
pub use recording::{Program, Recording, RecordingError};
pub use repeats::Repeats;
pub use report::{Ending, MainReached, MissingProbe, Repetition, Report, Subject, Totals};
pub use spread::Spread;
pub use stack::{Code, LoadedCode, Stack};
pub use startup::{Init, Observation, Phase, PhaseName, StartupTimeline, Step, TimedFunction};
pub use status::{AtLeast, Evidence, MainView, Stage, StartupStatus};
pub use status_report::{StatusReport, Usage};
pub use symbols::BinarySymbols;
pub use waits::{Symbols, Wait};
