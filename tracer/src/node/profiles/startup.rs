//! The starts that the agent saw of processes that still run, as many as there is room for.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use crate::export::{Format, Told, View};
use crate::model::{Ending, Report, StartupTimeline, Subject};
use crate::node::program::Program;
use crate::stream::ProbeLoss;
use crate::target::kernel::kernel_release;
use crate::units::{Nanos, wall_clock_at};

/// So many are kept.
const MOST: usize = 1024;

/// Of so many inits in all, 300 bytes each.
const MOST_INITS: usize = 1 << 16;

/// A start, told only when somebody asks.
#[derive(Debug)]
pub(in crate::node) struct SeenWhole {
    /// Which program that was.
    pub(in crate::node) program: Arc<Program>,
    /// How it went.
    pub(in crate::node) timeline: StartupTimeline,
    /// Every probe's account from its begin to its end.
    pub(in crate::node) losses: Vec<ProbeLoss>,
}

/// The last start of each process.
#[derive(Debug, Default)]
pub(in crate::node) struct KeptStarts {
    starts: HashMap<u32, SeenWhole>,
    /// The oldest first; a number may be in it that was another's start since.
    order: VecDeque<(u32, Nanos)>,
    inits: usize,
}

impl KeptStarts {
    /// Keeps one; the oldest go when there is no room.
    pub(in crate::node) fn keep(&mut self, pid: u32, start: SeenWhole) {
        self.forget(pid);
        self.inits += start.timeline.inits.len();
        self.order.push_back((pid, start.timeline.begin));
        self.starts.insert(pid, start);
        while self.starts.len() > MOST || self.inits > MOST_INITS || self.order.len() > 2 * MOST {
            let Some((pid, begin)) = self.order.pop_front() else { break };
            if self.starts.get(&pid).is_some_and(|start| start.timeline.begin == begin) {
                self.forget(pid);
            }
        }
    }

    fn forget(&mut self, pid: u32) {
        if let Some(start) = self.starts.remove(&pid) {
            self.inits -= start.timeline.inits.len();
        }
    }

    /// Forgets those that do not run, but for what began since then.
    pub(in crate::node) fn retain(&mut self, since: Nanos, runs: impl Fn(u32) -> bool) {
        let gone =
            |(pid, start): (&u32, &SeenWhole)| (start.timeline.begin < since && !runs(*pid)).then_some(*pid);
        for pid in self.starts.iter().filter_map(gone).collect::<Vec<_>>() {
            self.forget(pid);
        }
        let starts = &self.starts;
        self.order.retain(|(pid, begin)| starts.get(pid).is_some_and(|start| start.timeline.begin == *begin));
    }

    /// That of the process of this number, which runs that program and began then.
    pub(in crate::node) fn of(&self, pid: u32, program: &Arc<Program>, began: Nanos) -> Option<&SeenWhole> {
        let start = self.starts.get(&pid)?;
        (Arc::ptr_eq(&start.program, program) && began <= start.timeline.begin).then_some(start)
    }
}

impl SeenWhole {
    /// The profile.
    pub(super) fn profile(&self, pid: u32) -> io::Result<Vec<u8>> {
        let timeline = self.timeline.clone();
        let subject = Subject {
            pid,
            watched: true,
            kernel: kernel_release(),
            wall_clock_unix_ns: wall_clock_at(timeline.begin),
            ..self.program.subject.clone()
        };
        let report = Report {
            subject,
            timeline,
            ending: Ending::Running,
            awaited: None,
            missing: self.program.missing.clone(),
            losses: self.losses.clone(),
            undecodable: 0,
            gc: None,
            overhead: None,
        };
        let mut out = Vec::new();
        Format::Pprof.write(Told::Start(&report), &View::default(), false, &mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Init, InitName};

    fn start(program: &Arc<Program>, begin: u64, inits: usize) -> SeenWhole {
        let init = Init::over(InitName::Package("a".to_owned()), Nanos(begin), Nanos(1));
        let timeline =
            StartupTimeline { begin: Nanos(begin), inits: vec![init; inits], ..StartupTimeline::default() };
        SeenWhole { program: program.clone(), timeline, losses: Vec::new() }
    }

    #[test]
    fn the_oldest_go_and_those_that_do_not_run() {
        let program = Arc::new(Program::of_nothing());
        let mut kept = KeptStarts::default();
        let last = u32::try_from(MOST).unwrap();
        for pid in 0..=last {
            kept.keep(pid, start(&program, 100 + u64::from(pid), 1));
        }
        let has = |kept: &KeptStarts, pid| kept.of(pid, &program, Nanos(0)).is_some();
        assert!(!has(&kept, 0) && has(&kept, 1) && has(&kept, last));
        // One of very many inits takes the room of others, and its own number's last start goes first.
        kept.keep(7, start(&program, 5000, MOST_INITS - 10));
        assert_eq!((kept.starts.len(), kept.inits), (11, MOST_INITS));
        kept.retain(Nanos(5000), |pid| pid == last);
        assert!(has(&kept, 7) && has(&kept, last));
        assert_eq!((kept.starts.len(), kept.inits, kept.order.len()), (2, MOST_INITS - 9, 2));
        kept.retain(Nanos(5001), |_| false);
        assert_eq!((kept.starts.len(), kept.inits, kept.order.len()), (0, 0, 0));
    }

    #[test]
    fn a_start_is_of_the_process_that_had_begun_then_and_of_its_program() {
        let [program, other] = [(); 2].map(|()| Arc::new(Program::of_nothing()));
        let mut kept = KeptStarts::default();
        kept.keep(7, start(&program, 100, 1));
        assert!(kept.of(7, &program, Nanos(90)).is_some());
        assert!(kept.of(7, &program, Nanos(101)).is_none());
        assert!(kept.of(7, &other, Nanos(90)).is_none());
        let profile = kept.of(7, &program, Nanos(90)).unwrap().profile(7).unwrap();
        assert_eq!(profile[..2], [0x1f, 0x8b]);
    }
}
