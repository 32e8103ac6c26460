//! What flame graphs of a running program show, as options have it.

use crate::export::{FlameBy, FlameOf};

/// What flame graphs show.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Flame {
    /// The time that goroutines were blocked; idle ones are left out
    Blocked,
    /// Where the program was on a CPU
    Cpu,
    /// The time that goroutines were parked (--waits); idle ones are left out
    Waits,
    /// Where goroutines were made to help the garbage collector
    Gc,
}

impl From<Flame> for FlameOf {
    fn from(flame: Flame) -> Self {
        match flame {
            Flame::Blocked => Self::Blocked,
            Flame::Cpu => Self::OnCpu,
            Flame::Waits => Self::Parked,
            Flame::Gc => Self::Assists,
        }
    }
}

/// What is at their bottom.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum By {
    /// The outermost frame
    Stack,
    /// The go statement that made the goroutine
    Goroutine,
    /// The line of code that the time is put down to
    Site,
    /// What was waited for
    Object,
}

impl From<By> for FlameBy {
    fn from(by: By) -> Self {
        match by {
            By::Stack => Self::Stack,
            By::Goroutine => Self::Goroutine,
            By::Site => Self::Site,
            By::Object => Self::Object,
        }
    }
}
