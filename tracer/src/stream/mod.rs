//! The kernel's ring buffer -> bytes, and an exact account of what did not fit into it.

mod gc;
mod losses;
mod lost;
mod parking;
mod ring;
mod tables;

pub use gc::read_assists;
pub use losses::{LossesUnknown, ProbeLoss};
pub use lost::LostBy;
pub use parking::{ParkingTables, parked as read_parked};
pub use ring::{RawRecord, Ring};
pub use tables::Tables;
