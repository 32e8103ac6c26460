//! Since when each series counts.
//!
//! The agent's own begin would be wrong for some: what a process's runtime counts, it counts since the process began; and
//! a series that is there for the first time, or that became less (its labels had been given up for others, the probes
//! were put in place anew), counted from nothing since the metrics were read last.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

/// What was told of each series, as of the last two times; times are in nanoseconds since 1970.
#[derive(Debug)]
pub(super) struct Begins {
    hasher: RandomState,
    before: HashMap<u64, Counted>,
    now: HashMap<u64, Counted>,
    /// When the metrics were read last; at first, when the agent began.
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    value: f64,
    begin: u64,
}

impl Begins {
    /// Of an agent that began then.
    pub(super) fn new(agent: u64) -> Self {
        Self { hasher: RandomState::new(), before: HashMap::new(), now: HashMap::new(), last: agent }
    }

    /// Since when this series counts, which is of a process that began then or of none.
    pub(super) fn of(&mut self, series: &str, process: Option<u64>, value: f64) -> u64 {
        let key = self.hasher.hash_one(series);
        let begin =
            match self.before.get(&key) {
                // A process that began since has the number of the one before.
                Some(known) if process.is_none_or(|process| process <= known.begin) => {
                    if value >= known.value { known.begin } else { self.last }
                }
                _ => process.unwrap_or(self.last),
            };
        self.now.insert(key, Counted { value, begin });
        begin
    }

    /// All that there was then has been told; what was not there is forgotten.
    pub(super) fn over(&mut self, time: u64) {
        self.before = std::mem::take(&mut self.now);
        self.last = time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_counts_since_the_agent_began_or_since_it_was_nothing() {
        let mut begins = Begins::new(100);
        assert_eq!(begins.of("a", None, 5.0), 100);
        assert_eq!(begins.of("b", None, 5.0), 100);
        begins.over(200);
        assert_eq!((begins.of("a", None, 5.0), begins.of("new", None, 1.0)), (100, 200));
        begins.over(300);
        // It became less, and went on from there; the other was away.
        assert_eq!((begins.of("a", None, 1.0), begins.of("b", None, 1.0)), (300, 300));
        begins.over(400);
        assert_eq!((begins.of("a", None, 7.0), begins.of("b", None, 7.0)), (300, 300));
        begins.over(500);
        begins.over(600);
        assert!(begins.before.is_empty());
    }

    #[test]
    fn what_a_process_counts_it_counts_since_it_began() {
        let mut begins = Begins::new(100);
        assert_eq!(begins.of("a", Some(30), 5.0), 30);
        begins.over(200);
        assert_eq!(begins.of("a", Some(30), 6.0), 30);
        begins.over(300);
        // Another process of the same number, then another program in it.
        assert_eq!(begins.of("a", Some(250), 9.0), 250);
        begins.over(400);
        assert_eq!(begins.of("a", Some(250), 1.0), 400);
        begins.over(500);
        assert_eq!(begins.of("a", Some(250), 2.0), 400);
    }
}
