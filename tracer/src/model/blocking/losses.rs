//! What of the data is missing, and what could not be told.

use std::collections::BTreeMap;

use super::sums::Tally;
use crate::event::blocking::{Caller, Kind, StackTaken};
use crate::stream::ProbeLoss;
use crate::units::saturating_sum;

/// What of the data is missing, and what could not be told. All zero at best.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockingLosses {
    /// Every probe's account since gotrace came. What `summed` dropped is in no sum, because there was no room for
    /// one more.
    pub probes: Vec<ProbeLoss>,
    /// Records and sums that are none of this version's.
    pub undecodable: u64,
    /// Calls and waits whose stack the kernel could not take, by the reason.
    pub stacks: BTreeMap<StackLoss, u64>,
    /// Calls by whom is not known.
    pub unknown_callers: u64,
    /// All calls whose time is known.
    pub calls: u64,
    /// Calls that returned but had begun before gotrace came: counted, without their time.
    pub joined: u64,
    /// Slow calls whose object there was no room for.
    pub untold_objects: u64,
}

/// Why a stack is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StackLoss {
    /// Another stack had its place in the kernel's table (EEXIST).
    PlaceTaken,
    /// The kernel could not take one (EFAULT): another thread had been interrupted on this processor while its own was
    /// taken (`get_callchain_entry` in kernel/events/callchain.c), or the memory was not there.
    Fault,
    /// Another error number.
    Error(i64),
    /// The kernel's table did not give it back.
    Unread,
}

impl StackLoss {
    /// The name in the NDJSON contract.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::PlaceTaken => "place_taken".to_owned(),
            Self::Fault => "fault".to_owned(),
            Self::Error(number) => format!("error_{}", number.unsigned_abs()),
            Self::Unread => "unread".to_owned(),
        }
    }

    fn of(error: i64) -> Self {
        match i32::try_from(error.saturating_neg()) {
            Ok(libc::EEXIST) => Self::PlaceTaken,
            Ok(libc::EFAULT) => Self::Fault,
            _ => Self::Error(error),
        }
    }
}

impl BlockingLosses {
    /// Counts what one sum lacks.
    pub(super) fn add(&mut self, tally: &Tally, is_unread: bool) {
        let Tally { key, sums } = tally;
        let stack = match key.stack {
            StackTaken::Lost(error) => Some(StackLoss::of(error)),
            StackTaken::Taken(_) if is_unread => Some(StackLoss::Unread),
            StackTaken::Taken(_) | StackTaken::TooShort => None,
        };
        if let Some(loss) = stack {
            let lost = self.stacks.entry(loss).or_default();
            *lost = lost.saturating_add(sums.count);
        }
        if key.kind == Kind::Call {
            self.calls = self.calls.saturating_add(sums.count);
            self.joined = self.joined.saturating_add(sums.joined);
            if key.caller == Caller::Unknown {
                self.unknown_callers = self.unknown_callers.saturating_add(sums.count);
            }
        }
    }

    /// What is in no sum, or in no line of its own.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        saturating_sum(self.probes.iter().map(|loss| loss.dropped))
    }

    /// Stacks that were lost.
    #[must_use]
    pub fn lost_stacks(&self) -> u64 {
        saturating_sum(self.stacks.values().copied())
    }

    /// Whether every call is in the sums, with its stack. Who called may be unknown: C code's threads are.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lost() == 0
    }

    /// Whether so much was lost that a script must not take the report for whole: more than one in a hundred calls.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.lost().saturating_mul(100) > self.calls
    }

    fn lost(&self) -> u64 {
        saturating_sum([self.dropped(), self.undecodable, self.lost_stacks()])
    }
}
