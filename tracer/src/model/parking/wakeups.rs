//! The long waits that another goroutine ended, one by one: the longest of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::blocking::Idle;
use super::super::blocking::stacks::{Resolved, Stacks};
use super::report::parked_at;
use crate::event::parking::Woken;
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// So many are kept.
const MOST: usize = 1000;

/// The long waits so far that another goroutine ended. Bounded, whatever comes.
#[derive(Clone, Debug, Default)]
pub struct Wakeups {
    /// By how long they took, when they ended, and whose they were.
    longest: BTreeMap<(Nanos, Nanos, u64), Woken>,
    /// How many there were.
    count: u64,
}

impl Wakeups {
    /// Takes note of one that ended at `end`.
    pub fn note(&mut self, end: Nanos, woken: &Woken) {
        self.count += 1;
        self.longest.insert((end.since(woken.since), end, woken.goid), *woken);
        if self.longest.len() > MOST {
            self.longest.pop_first();
        }
    }

    /// How many there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Those that are kept, the longest first.
    pub(super) fn told(&self, stacks: &mut Stacks<'_>, reason: impl Fn(u8) -> String) -> Vec<Wakeup> {
        let told = self.longest.iter().rev().map(|((_, ran, _), woken)| {
            let Resolved { frames: stack, origin, .. } = parked_at(&woken.key, stacks);
            Wakeup {
                goid: woken.goid,
                since: woken.since,
                ready: woken.ready,
                ran: *ran,
                reason: reason(woken.key.reason),
                idle: Idle::of_stack(&stack, false),
                stack,
                origin,
                waker_goid: woken.waker_goid,
                waker_origin: woken.key.waker_gopc.and_then(|gopc| stacks.origin(gopc)),
            }
        });
        told.collect()
    }
}

/// A long wait that another goroutine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// Who waited.
    pub goid: u64,
    /// Since when it was parked.
    pub since: Nanos,
    /// When it was made ready.
    pub ready: Nanos,
    /// When it ran again.
    pub ran: Nanos,
    /// Why it was parked, in the runtime's words.
    pub reason: String,
    /// Where, innermost first.
    pub stack: Arc<[Arc<Frame>]>,
    /// The go statement that made it.
    pub origin: Option<Frame>,
    /// Whether it only waited for something to do.
    pub idle: Option<Idle>,
    /// Who made it ready.
    pub waker_goid: u64,
    /// The go statement that made that one.
    pub waker_origin: Option<Frame>,
}
