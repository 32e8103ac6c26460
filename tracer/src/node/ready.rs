//! Which starts became ready, and when: `main.main` has begun, and a TCP socket listens.

use std::collections::HashMap;

use super::workload::Workload;
use crate::units::Nanos;

/// So many processes of each kind are remembered; beyond, those are forgotten that came first.
const MOST: usize = 16 << 10;

/// Processes of which one of the two is known.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// Those in `main.main`, with when they began.
    reached: HashMap<u32, (Nanos, Workload)>,
    /// Those that listen, since when.
    listening: HashMap<u32, Nanos>,
}

impl Readiness {
    /// A process listens, and so is ready. Returns when its start began, when it had come to `main.main` before.
    pub(super) fn listens(&mut self, pid: u32, time: Nanos) -> Option<(Workload, Nanos)> {
        if let Some((begin, workload)) = self.reached.remove(&pid) {
            return Some((workload, begin));
        }
        forget_first(&mut self.listening, |time| *time);
        self.listening.insert(pid, time);
        None
    }

    /// A start that began then came to `main.main`. Whether it is ready by that, since the process listens.
    pub(super) fn reached(&mut self, pid: u32, begin: Nanos, workload: &Workload) -> bool {
        // Its number may have been another's.
        if self.listening.remove(&pid).is_some_and(|time| time >= begin) {
            return true;
        }
        forget_first(&mut self.reached, |(begin, _)| *begin);
        self.reached.insert(pid, (begin, workload.clone()));
        false
    }
}

/// Makes room for one more.
fn forget_first<T>(known: &mut HashMap<u32, T>, time: impl Fn(&T) -> Nanos) {
    if known.len() >= MOST
        && let Some(first) = known.iter().min_by_key(|(_, what)| time(what)).map(|(pid, _)| *pid)
    {
        known.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_the_later_of_both() {
        let (mut readiness, workload) = (Readiness::default(), Workload::default());
        let reached = |readiness: &mut Readiness, pid| readiness.reached(pid, Nanos(10), &workload);
        assert!(!reached(&mut readiness, 1));
        assert_eq!(readiness.listens(1, Nanos(35)), Some((Workload::default(), Nanos(10))));
        assert_eq!(readiness.listens(2, Nanos(20)), None);
        assert!(reached(&mut readiness, 2));
        // Who listened under that number before was another.
        assert_eq!(readiness.listens(3, Nanos(5)), None);
        assert!(!reached(&mut readiness, 3));
    }

    #[test]
    fn what_never_comes_is_forgotten() {
        let mut readiness = Readiness::default();
        for pid in 0..=u32::try_from(MOST).unwrap() {
            readiness.reached(pid, Nanos(pid.into()), &Workload::default());
        }
        assert_eq!(readiness.listens(0, Nanos(1)), None);
        assert!(readiness.listens(1, Nanos(1)).is_some());
    }
}
