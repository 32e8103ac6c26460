//! Events -> histories. Pure and deterministic: the same events give the same report.

mod catalogue;
mod findings;
mod goroutines;
mod libraries;
mod objects;
mod parts;
mod ready;
mod report;
mod startup;
mod symbols;
mod waits;

pub use catalogue::{InitCatalogue, InitFunction, InitName};
pub use findings::{Finding, findings};
pub use goroutines::{Counts, Started};
pub use libraries::Library;
pub use parts::{Cause, Parts};
pub use ready::{ReadyError, ReadyWhen};
pub use report::{Ending, MainReached, MissingProbe, Report, Subject, Totals};
pub use startup::{Init, Observation, Phase, PhaseName, StartupTimeline, Step, TimedFunction};
pub use symbols::BinarySymbols;
pub use waits::{Symbols, Wait};
