//! What it cost the program that its scheduler was probed.

use serde::{Deserialize, Serialize};

use crate::units::Nanos;

/// What the probes cost, as far as it can be measured: see [`Overhead::trap`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overhead {
    /// When the probes were armed, on the boot clock.
    pub armed: Nanos,
    /// How long they were, up to the report or to where they were taken away.
    pub span: Nanos,
    /// How often the program ran into one.
    pub hits: u64,
    /// What could not be summed up of it: a map was full, or the goroutine was not known.
    pub dropped: u64,
    /// What the handlers took of the program's time, as they measured it themselves.
    pub handlers: Nanos,
    /// What a hit costs beside: measured when gotrace attached, on an instruction of its own. In the program it is
    /// not less.
    pub trap: Nanos,
    /// What it was to cost at most, in millionths of one processor.
    pub budget: u64,
    /// One goroutine in that many was followed at the end; 1 for all.
    pub one_in: u64,
    /// When the first time fewer were followed than before, on the boot clock.
    pub sampled: Option<Nanos>,
    /// When the probes were taken away before the end.
    pub detached: Option<Detached>,
}

/// The probes were taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// When it was decided, on the boot clock.
    pub at: Nanos,
    /// How often the program had run into a probe in the look before.
    pub hits: u64,
    /// How long that look was.
    pub span: Nanos,
}

impl Overhead {
    /// All of it.
    #[must_use]
    pub fn cost(&self) -> Nanos {
        Nanos(self.trap.0.saturating_mul(self.hits).saturating_add(self.handlers.0))
    }

    /// What a hit cost, on the average.
    #[must_use]
    pub fn per_hit(&self) -> Nanos {
        self.cost().0.checked_div(self.hits).map_or(self.trap, Nanos)
    }

    /// The share of one processor, in millionths.
    #[must_use]
    pub fn share(&self) -> u64 {
        let share = u128::from(self.cost().0) * 1_000_000 / u128::from(self.span.0.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

impl Detached {
    /// Why, for people.
    #[must_use]
    pub fn reason(&self, trap: Nanos) -> String {
        let traps = Nanos(trap.0.saturating_mul(self.hits));
        format!(
            "{} hits in {}, whose traps alone take {}",
            self.hits,
            self.span.for_people(),
            traps.for_people()
        )
    }
}
