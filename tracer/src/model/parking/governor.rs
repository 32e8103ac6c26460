//! Keeps what the probes on the scheduler cost below a budget, by what they are seen to cost.
//!
//! The budget is a share of one processor. What it allows is saved up for a second at most, and every look at the
//! counters takes from it what was spent since the last one. When there is nothing left, fewer goroutines are followed,
//! if that can help: it saves the handlers' work and not the trap, which each hit costs whoever it is. Else the probes
//! are taken away.

use crate::units::Nanos;

/// What is allowed is saved up for that long.
const SAVED: Nanos = Nanos(1_000_000_000);

/// Fewer than one in so many goroutines would tell nothing.
const FEWEST: u64 = 1 << 10;

/// A share of one processor's time, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u64);

impl Share {
    /// So much of that time.
    fn of(self, time: Nanos) -> i64 {
        let nanos = u128::from(time.0) * u128::from(self.0) / 1_000_000;
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }
}

/// What the counters say at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// When, on the boot clock.
    pub at: Nanos,
    /// How often the program ran into a probe.
    pub hits: u64,
    /// What the handlers took, as they measured it.
    pub handlers: Nanos,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    GoOn,
    /// Follow one goroutine in that many: a power of two.
    OneIn(u64),
    /// Take the probes away.
    Detach,
}

/// Decides.
#[derive(Clone, Debug)]
pub struct Governor {
    budget: Share,
    /// What a hit costs beside its handler.
    trap: Nanos,
    last: Spending,
    /// What may be spent, in nanoseconds.
    saved: i64,
    one_in: u64,
}

impl Governor {
    /// From the moment on that the probes are armed.
    #[must_use]
    pub fn new(budget: Share, trap: Nanos, armed: Nanos) -> Self {
        let last = Spending { at: armed, ..Spending::default() };
        Self { budget, trap, last, saved: budget.of(SAVED), one_in: 1 }
    }

    /// What was spent by then: the hits' traps and handlers.
    #[must_use]
    pub fn cost(&self, spending: &Spending) -> Nanos {
        Nanos(self.trap.0.saturating_mul(spending.hits).saturating_add(spending.handlers.0))
    }

    /// Takes the counters' account, which only grows.
    pub fn look(&mut self, now: Spending) -> Order {
        let time = now.at.since(self.last.at);
        let handlers = now.handlers.since(self.last.handlers).0;
        let hits = now.hits.saturating_sub(self.last.hits);
        let traps = self.trap.0.saturating_mul(hits);
        self.last = now;
        let allowed = self.budget.of(time);
        let spent = i64::try_from(traps.saturating_add(handlers)).unwrap_or(i64::MAX);
        let most = self.budget.of(SAVED);
        self.saved = self.saved.saturating_add(allowed).saturating_sub(spent).min(most);
        if self.saved >= 0 {
            return Order::GoOn;
        }
        // What is left for the handlers when the traps are paid.
        let left = u64::try_from(allowed).unwrap_or(0).saturating_sub(traps);
        if left == 0 || handlers == 0 {
            return Order::Detach;
        }
        let fewer = handlers.div_ceil(left).next_power_of_two().max(2);
        match self.one_in.checked_mul(fewer) {
            Some(one_in) if one_in <= FEWEST => {
                self.one_in = one_in;
                self.saved = most / 2;
                Order::OneIn(one_in)
            }
            _ => Order::Detach,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRAP: Nanos = Nanos(1_000);
    const TICK: u64 = 100_000_000;

    /// 2 % of a processor: 20 ms a second.
    fn governor() -> Governor {
        Governor::new(Share(20_000), TRAP, Nanos(0))
    }

    /// Hits at a steady rate, each with a handler of so many nanoseconds: the orders, with the ticks of each.
    fn steady(governor: &mut Governor, hits_a_tick: u64, handler: u64, ticks: u64) -> Vec<(u64, Order)> {
        let (mut orders, mut one_in, mut handlers) = (Vec::new(), 1, 0);
        for tick in 1..=ticks {
            handlers += hits_a_tick * handler / one_in;
            let order = governor.look(Spending {
                at: Nanos(tick * TICK),
                hits: tick * hits_a_tick,
                handlers: Nanos(handlers),
            });
            match order {
                Order::GoOn => continue,
                Order::OneIn(number) => one_in = number,
                Order::Detach => {}
            }
            orders.push((tick, order));
            if order == Order::Detach {
                break;
            }
        }
        orders
    }

    #[test]
    fn what_stays_below_the_budget_is_left_alone() {
        // 1.9 % of a processor, for an hour.
        assert_eq!(steady(&mut governor(), 1_000, 900, 36_000), []);
    }

    #[test]
    fn a_storm_is_over_at_the_next_look() {
        assert_eq!(steady(&mut governor(), 100_000, 500, 100), [(1, Order::Detach)]);
    }

    #[test]
    fn fewer_goroutines_are_followed_when_that_helps() {
        // The traps take 1 % of a processor, the handlers 4 %: every fourth goroutine is what there is room for.
        let orders = steady(&mut governor(), 1_000, 4_000, 600);
        assert_eq!(orders, [(7, Order::OneIn(4))]);
        // A little over the budget, it takes a while until what was saved is spent.
        let orders = steady(&mut governor(), 1_000, 1_100, 600);
        assert_eq!(orders, [(201, Order::OneIn(2))]);
    }

    #[test]
    fn a_burst_is_allowed_when_it_was_saved_for() {
        let mut governor = governor();
        let at = |tick: u64, hits| Spending { at: Nanos(tick * TICK), hits, handlers: Nanos(0) };
        assert_eq!(governor.look(at(20, 19_000)), Order::GoOn);
        assert_eq!(governor.look(at(21, 19_000 + 20_000)), Order::GoOn);
        assert_eq!(governor.look(at(22, 19_000 + 45_000)), Order::Detach);
    }

    proptest! {
        /// Whatever comes, what is spent before the probes go stays below the budget, what was saved for it, and
        /// the one look that noticed.
        #[test]
        fn the_budget_is_kept(rates in prop::collection::vec((0_u64..5_000, 0_u64..3_000), 1..200)) {
            let mut governor = governor();
            let (mut hits, mut handlers, mut one_in, mut rises) = (0, 0, 1, 0);
            for (tick, (rate, handler)) in (1..).zip(rates) {
                let before = governor.cost(&Spending { at: Nanos(0), hits, handlers: Nanos(handlers) });
                // When this look begins all is within bounds.
                prop_assert!(before.0 <= 20_000_000 * (tick + 10) / 10 + rises * 30_000_000 , "{before:?} at {tick}");
                hits += rate;
                handlers += rate * handler / one_in;
                let now = Spending { at: Nanos(tick * TICK), hits, handlers: Nanos(handlers) };
                match governor.look(now) {
                    Order::GoOn => {}
                    Order::OneIn(number) => {
                        prop_assert!(number.is_power_of_two() && number > one_in && number <= FEWEST);
                        (one_in, rises) = (number, rises + 1);
                    }
                    Order::Detach => break,
                }
            }
        }
    }
}
