//! Why goroutines did not run: the kernel's sums of parked goroutines -> for what, until whom, where in the code; and
//! what it cost the program to be asked.

mod governor;
mod overhead;
mod report;
mod wakeups;

pub use governor::{Governor, Order, Share, Spending};
pub use overhead::{Detached, Overhead};
pub use report::{Parking, ParkingInput, ParkingReport, WokenBy};
pub use wakeups::{Wakeup, Wakeups};
