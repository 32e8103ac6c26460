//! Events -> histories. Pure and deterministic: the same events give the same report.

mod catalogue;
mod findings;
mod libraries;
mod objects;
mod parts;
mod ready;
mod report;
mod startup;
mod symbols;
mod waits;

pub use catalogue::{InitCatalogue, InitName};
pub use findings::{Finding, findings};
pub use libraries::Library;
pub use parts::{Cause, Parts};
pub use ready::{ReadyError, ReadyWhen};
pub use report::{Ending, MainReached, MissingProbe, Report, Subject, Totals};
pub use startup::{Init, Observation, Phase, PhaseName, StartupTimeline, Step};
pub use symbols::BinarySymbols;
pub use waits::{Symbols, Wait};
