//! Who was blocked while the collector was at work.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::super::blocking::{BlockingReport, Class, Entry, Since, Site, Standing};
use super::super::parking::Wakeup;
use super::super::time_sums::TimeSums;
use super::super::waits::syscall_name;
use crate::event::blocking::Key;
use crate::units::Nanos;

/// So many who were blocked are told of each, those that were for longest.
const MOST_BLOCKED: usize = 16;

/// A goroutine that was in a slow call or wait during an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedMeanwhile {
    /// Its id, if it is known.
    pub goid: Option<u64>,
    /// The system call, or the one that would have blocked.
    pub syscall: Option<String>,
    /// What it was on.
    pub object: Option<String>,
    /// Since when; none when that is not known.
    pub start: Option<Nanos>,
    /// How long, or how long so far.
    pub duration: Option<Nanos>,
    /// The line of code.
    pub site: Site,
}

/// What the program was blocked on, for looking up.
pub(super) struct Blocking<'a> {
    report: &'a BlockingReport,
    entries: HashMap<Key, &'a Entry>,
}

impl<'a> Blocking<'a> {
    pub(super) fn of(report: &'a BlockingReport) -> Self {
        Self { report, entries: report.entries.iter().map(|entry| (entry.key, entry)).collect() }
    }

    /// Who was in a slow call or wait in that time and did not idle; and how many more.
    pub(super) fn meanwhile(&self, start: Nanos, end: Nanos) -> (Vec<BlockedMeanwhile>, usize) {
        let mut all: Vec<BlockedMeanwhile> = Vec::new();
        for slow in &self.report.slow {
            let entry = self.entries.get(&slow.call.key);
            let began = slow.end.since(slow.call.duration);
            let is_suffered = entry.is_some_and(|entry| entry.class == Class::Suffered);
            if is_suffered && began < end && slow.end > start {
                all.push(BlockedMeanwhile {
                    goid: slow.call.goid,
                    syscall: Some(syscall_name(slow.call.key.syscall)),
                    object: slow.object.clone(),
                    start: Some(began),
                    duration: Some(slow.call.duration),
                    site: entry.map_or(Site::Unknown, |entry| entry.site.clone()),
                });
            }
        }
        let module = self.report.subject.module.as_deref();
        for one in &self.report.blocked_now {
            let since = one.since.map(Since::time);
            if one.standing() == Standing::Suffered && since.is_some_and(|since| since < end) {
                all.push(BlockedMeanwhile {
                    goid: Some(one.goid),
                    syscall: one.syscall.clone(),
                    object: one.object.clone(),
                    start: since,
                    duration: since.map(|since| self.report.ended.since(since)),
                    site: Site::of(&one.stack, one.origin.as_ref(), module),
                });
            }
        }
        all.sort_by_key(|one| (Reverse(one.duration), one.start, one.goid));
        let untold = all.len().saturating_sub(MOST_BLOCKED);
        all.truncate(MOST_BLOCKED);
        (all, untold)
    }

    /// Who was made ready in that time; none where the scheduler is not probed.
    pub(super) fn ready(&self, start: Nanos, end: Nanos) -> Option<TimeSums> {
        let parking = self.report.parking.as_ref()?;
        Some(ready(&parking.wakeups, start, end))
    }
}

fn ready(wakeups: &[Wakeup], start: Nanos, end: Nanos) -> TimeSums {
    let mut ready = TimeSums::default();
    for wakeup in wakeups.iter().filter(|wakeup| wakeup.idle.is_none()) {
        if (start..end).contains(&wakeup.ready) {
            ready.add(&TimeSums::of(wakeup.ran.since(wakeup.ready)));
        }
    }
    ready
}

#[cfg(test)]
mod tests {
    use super::super::super::blocking::Idle;
    use super::*;

    #[test]
    fn who_became_ready_meanwhile_and_had_no_p_is_summed_up() {
        let wakeup = |ready, ran, idle| Wakeup {
            goid: 7,
            since: Nanos(1),
            ready: Nanos(ready),
            ran: Nanos(ran),
            reason: "chan receive".to_owned(),
            stack: [].into(),
            origin: None,
            idle,
            waker_goid: 8,
            waker_origin: None,
        };
        let wakeups = [
            wakeup(99, 150, None),
            wakeup(100, 130, None),
            wakeup(199, 260, None),
            wakeup(150, 190, Some(Idle::Collector)),
            wakeup(200, 300, None),
        ];
        let ready = ready(&wakeups, Nanos(100), Nanos(200));
        assert_eq!(ready, TimeSums { count: 2, total: Nanos(91), longest: Nanos(61) });
    }
}
