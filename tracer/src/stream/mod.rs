//! The kernel's ring buffer -> bytes, and an exact account of what did not fit into it.

mod losses;
mod reader;

pub use losses::{ProbeLoss, read as read_losses};
pub use reader::{RawRecord, Reader};
