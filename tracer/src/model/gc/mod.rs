//! The garbage collector of a running program: its cycles and the times that the world was stopped -> what they cost,
//! who held them up, what they have to do with a program that does not go on.

mod assist;
mod charge;
mod check;
#[cfg(test)]
pub(crate) mod crafted;
mod cycle;
mod figures;
mod findings;
mod heap;
mod history;
mod incident;
mod meanwhile;
mod report;
mod stop;
mod totals;

pub use assist::AssistSite;
pub use charge::Charged;
pub use check::Refusal;
pub use cycle::{GcCycle, NO_LIMIT, Surroundings};
pub use heap::{AllocationRate, Course, HeapCourse, megabytes};
pub use history::GcHistory;
pub use incident::{Incident, IncidentKind, Verdict};
pub use meanwhile::BlockedMeanwhile;
pub use report::{GcInput, GcReport, ToldCycle, Trigger};
pub use stop::{HeldUpBy, StopReason, WorldStop};
pub use totals::Totals;
