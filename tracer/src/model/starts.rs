//! The starts of many processes of one binary, told apart: each from its exec to `main.main` or to its end.

use std::collections::HashMap;

use super::phases::PhaseName;
use super::startup::StartupTimeline;
use crate::event::{Event, EventKind};
use crate::stream::RawRecord;
use crate::units::Nanos;

/// The most starts under way at a time; the kernel side follows fewer.
const OPEN_LIMIT: usize = 2048;

/// The most events of one start: more than any program has inits.
const EVENT_LIMIT: usize = 1 << 16;

/// Starts under way.
#[derive(Debug, Default)]
pub struct Starts {
    open: HashMap<u32, (Vec<Event>, Vec<RawRecord>)>,
    /// How many events those have, and how many they may have.
    held: usize,
    most: Option<usize>,
    /// Events that belong to no start, because its first was lost or there were too many.
    pub stray: u64,
}

/// A start that is over, or as far as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenStart {
    /// The process's id.
    pub pid: u32,
    /// What happened, from its exec on.
    pub events: Vec<Event>,
    /// The same as the kernel side wrote it, as far as it was given.
    pub records: Vec<RawRecord>,
    /// When the process ended; none while it runs.
    pub gone: Option<Nanos>,
}

impl Starts {
    /// With so many events of all starts under way at most.
    #[must_use]
    pub fn bounded(most: usize) -> Self {
        Self { most: Some(most), ..Self::default() }
    }

    /// Takes an event in, whose thread stands for its process, and its record if that is to be kept. Returns the start
    /// that is over by it.
    pub fn take(&mut self, event: Event, record: Option<RawRecord>) -> Option<SeenStart> {
        let pid = event.tid;
        let is_exec = matches!(event.kind, EventKind::Exec { .. });
        let is_exit = event.kind == EventKind::Exit;
        let (over, time) = (is_exec || is_exit || event.is_main(), event.time);
        let spare = self.most.is_none_or(|most| self.held < most);
        let room = self.open.len() < OPEN_LIMIT && spare;
        match self.open.get_mut(&pid) {
            Some((events, records)) if over || (spare && events.len() < EVENT_LIMIT) => {
                self.held += 1;
                events.push(event);
                records.extend(record);
            }
            None if is_exec && room => {
                self.held += 1;
                self.open.insert(pid, (vec![event], Vec::from_iter(record)));
                return None;
            }
            _ => self.stray += 1,
        }
        if !over {
            return None;
        }
        let (events, records) = self.open.remove(&pid)?;
        self.held -= events.len();
        Some(SeenStart { pid, events, records, gone: is_exit.then_some(time) })
    }

    /// How many are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.open.len()
    }

    /// Those that are under way, as far as they came, by process id.
    #[must_use]
    pub fn into_rest(self) -> Vec<SeenStart> {
        let started = |(pid, (events, records))| SeenStart { pid, events, records, gone: None };
        let mut rest: Vec<SeenStart> = self.open.into_iter().map(started).collect();
        rest.sort_by_key(|started| started.pid);
        rest
    }
}

impl StartupTimeline {
    /// The timeline of a start that was watched from its exec to `main.main`: when execve was called, where the
    /// time went, and what came after, nobody saw.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.phases.retain(|phase| !matches!(phase.name, PhaseName::Exec | PhaseName::Main));
        for phase in &mut self.phases {
            phase.parts = None;
        }
        for init in &mut self.inits {
            init.parts = None;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::wire::Probe;

    use super::*;
    use crate::event::{Account, Hit};
    use crate::units::RuntimeAddr;

    fn event(tid: u32, time: u64, kind: EventKind) -> Event {
        Event { time: Nanos(time), tid, kind }
    }

    fn exec(tid: u32, time: u64) -> Event {
        event(tid, time, EventKind::Exec { comm: "app".to_owned(), account: Account::default() })
    }

    fn hit(tid: u32, time: u64, probe: Probe) -> Event {
        let hit = Hit { probe, ip: RuntimeAddr(1), argument: 0, account: Account::default(), heap: None };
        event(tid, time, EventKind::Hit(hit))
    }

    #[test]
    fn starts_that_go_on_at_once_are_told_apart() {
        let mut starts = Starts::default();
        let events = [
            exec(1, 10),
            exec(2, 11),
            hit(2, 12, Probe::GoEntry),
            hit(1, 13, Probe::GoEntry),
            hit(2, 14, Probe::MainMain),
            event(1, 15, EventKind::Exit),
            exec(3, 16),
        ];
        let over: Vec<SeenStart> = events.into_iter().filter_map(|event| starts.take(event, None)).collect();
        let seen: Vec<_> = over.iter().map(|start| (start.pid, start.events.len(), start.gone)).collect();
        assert_eq!(seen, [(2, 3, None), (1, 3, Some(Nanos(15)))]);
        assert_eq!(starts.under_way(), 1);
        assert_eq!(starts.into_rest()[0].pid, 3);
    }

    #[test]
    fn another_exec_ends_a_start_and_a_process_id_comes_again() {
        let mut starts = Starts::default();
        assert!(starts.take(exec(1, 10), None).is_none());
        assert_eq!(starts.take(exec(1, 20), None).unwrap().events.len(), 2);
        assert!(starts.take(exec(1, 30), None).is_none());
        assert_eq!(starts.take(hit(1, 40, Probe::MainMain), None).unwrap().events.len(), 2);
    }

    #[test]
    fn all_together_are_bounded_too() {
        let mut starts = Starts::bounded(3);
        for (tid, time) in [(1, 10), (2, 11)] {
            starts.take(exec(tid, time), None);
        }
        for probe in [Probe::GoEntry, Probe::SchedInit] {
            starts.take(hit(1, 12, probe), None);
        }
        starts.take(exec(3, 13), None);
        assert_eq!((starts.under_way(), starts.stray), (2, 2));
        // What ends one is taken, and makes room.
        assert_eq!(starts.take(hit(1, 14, Probe::MainMain), None).unwrap().events.len(), 3);
        starts.take(exec(3, 15), None);
        assert_eq!((starts.under_way(), starts.stray), (2, 2));
    }

    #[test]
    fn what_belongs_to_no_start_is_counted_and_a_start_is_bounded() {
        let mut starts = Starts::default();
        assert!(starts.take(hit(9, 1, Probe::Init), None).is_none());
        assert_eq!(starts.stray, 1);
        starts.take(exec(1, 10), None);
        for _ in 0..EVENT_LIMIT {
            starts.take(hit(1, 11, Probe::Init), None);
        }
        assert_eq!(starts.stray, 2);
        let over = starts.take(hit(1, 12, Probe::MainMain), None).unwrap();
        assert_eq!(over.events.len(), EVENT_LIMIT + 1);
        for pid in 0..OPEN_LIMIT + 5 {
            starts.take(exec(u32::try_from(pid).unwrap(), 20), None);
        }
        assert_eq!((starts.under_way(), starts.stray), (OPEN_LIMIT, 7));
    }
}
