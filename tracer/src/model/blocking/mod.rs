//! What a running program's system calls and network waits cost: the kernel's sums and the slow ones -> who suffers
//! from what, where, for how long.

mod cause;
mod class;
mod entry;
mod findings;
mod losses;
mod names;
mod now;
mod on_cpu;
mod report;
mod scheduler;
mod site;
mod slow;
pub(super) mod stacks;
pub(super) mod sums;

pub use cause::BlockingCause;
pub use class::{Class, Idle};
pub use entry::{Entry, Group};
pub use losses::{BlockingLosses, StackLoss};
pub use names::{Named, ObjectNames, type_name};
pub use now::{BLOCKED_NOW, BlockedGroup, BlockedNow, Since, Standing};
pub use on_cpu::OnCpu;
pub use report::{BlockingInput, BlockingReport};
pub use scheduler::{Scheduler, ThreadsMade};
pub use site::{Place, Site};
pub use slow::{SlowCall, SlowCalls};
pub use stacks::NOT_GO;
pub use sums::Sums;
