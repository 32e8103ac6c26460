//! The kernel's ring buffer -> bytes, and an exact account of what did not fit into it.

mod gc;
mod losses;
mod parking;
mod reader;
mod tables;

pub use gc::read_assists;
pub use losses::{ProbeLoss, read as read_losses};
pub use parking::{ParkingTables, parked as read_parked};
pub use reader::{RawRecord, Reader};
pub use tables::Tables;
