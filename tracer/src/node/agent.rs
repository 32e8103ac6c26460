//! The agent: who starts, what runs, and which binaries are watched for it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::kernel::Kernel;
use super::looker::{Answer, Looked, Looker, Question, Stamp};
use super::pace::{Pace, Rest};
use super::place::Places;
use super::program::{Executable, Program};
use super::programs::{Known, Programs, Watched, wait};
use super::selector::{Facts, Selection};
use super::state::Shared;
use super::workload::Workload;
use crate::event::{Event, EventKind, Origin};
use crate::export::printable;
use crate::model::Starts;
use crate::probe::attach::AttachError;
use crate::target::descriptor::Identity as FileId;
use crate::units::{Nanos, boot_clock};

/// A process that executed a new file may come by a site of it within this time; then nobody need look at it. Not much
/// longer than that takes: many a program is over in ten times of it.
const CLAIM_TIME: Nanos = Nanos(3_000_000);

/// So long after `main.main` a process that still runs is taken for one that goes on.
const SETTLED: Nanos = Nanos(1_000_000_000);

/// So many processes wait for one of these times.
const MOST_PENDING: usize = 4096;

/// The most events of starts under way, about 200 bytes each.
const MOST_EVENTS: usize = 1 << 17;

/// How much the agent watches.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many binaries.
    pub binaries: usize,
    /// So much memory, in bytes: beyond it no further binary is watched.
    pub memory: u64,
    /// The size of the ring buffer in bytes.
    pub ring_bytes: u32,
    /// What part of one processor the agent and its probes may take; none for any.
    pub overhead: Option<f64>,
}

/// One stretch of watching, from loading the programs to taking them away.
pub struct Session {
    pub(super) kernel: Kernel,
    pub(super) programs: Programs,
    pub(super) places: Places,
    pub(super) starts: Starts,
    pub(super) state: Shared,
    pub(super) selection: Arc<Selection>,
    pub(super) looker: Looker,
    limits: Limits,
    /// Processes that executed a new file, and when.
    executed: VecDeque<(u32, Nanos)>,
    /// Processes that reached `main.main`, and when.
    settling: VecDeque<(u32, Nanos)>,
    /// Processes whose start is seen, by when that was last.
    claimed: HashMap<u32, Nanos>,
    /// What was lost by when, of what tells how a start ends.
    pub(super) ends_lost: VecDeque<(Nanos, u64)>,
    looked_around: Option<Instant>,
    look_around: bool,
    pace: Pace,
    /// Whether there was something to do since the last rest.
    busy: bool,
    pub(super) refusing: bool,
    pub(super) budget: Option<Budget>,
    /// When it was asked last what processes have.
    pub(super) asked_usage: Option<Instant>,
}

impl Session {
    /// Loads the programs, and asks for all that runs.
    ///
    /// # Errors
    /// When the kernel refuses them.
    pub fn begin(selection: Arc<Selection>, limits: Limits, state: Shared) -> Result<Self, AttachError> {
        let kernel = Kernel::load(limits.ring_bytes)?;
        let mut session = Self {
            kernel,
            programs: Programs::default(),
            places: Places::open(),
            starts: Starts::bounded(MOST_EVENTS),
            state,
            selection,
            looker: Looker::default(),
            limits,
            executed: VecDeque::new(),
            settling: VecDeque::new(),
            claimed: HashMap::new(),
            ends_lost: VecDeque::new(),
            looked_around: None,
            look_around: true,
            pace: Pace::default(),
            busy: true,
            refusing: false,
            budget: limits.overhead.map(|most| Budget::new(most, Instant::now())),
            asked_usage: None,
        };
        let paths: Vec<_> = session.selection.paths().map(ToOwned::to_owned).collect();
        for path in paths {
            session.ask(Question::Path(path));
        }
        Ok(session)
    }

    /// Lets some time pass: little while there is something to do, else until there is, a quarter of a second at most.
    pub fn rest(&mut self) {
        let busy = std::mem::take(&mut self.busy) || !self.executed.is_empty() || self.looker.waiting() > 0;
        match self.pace.after(busy) {
            Rest::Sleep(time) => std::thread::sleep(time),
            // A record may be in the making still: then the next turn finds none, and this must not come at once again.
            Rest::Listen(longest) => self.busy = self.kernel.wait(longest),
        }
    }

    /// Takes in what happened since.
    pub fn turn(&mut self) {
        let events = self.kernel.drain();
        self.busy |= !events.is_empty();
        for event in events {
            self.take(event);
        }
        self.ask_pending();
        // What is ready now, and a little of what is being made.
        let patience = Instant::now() + Duration::from_millis(5);
        while let Some(answer) = self.looker.answer(patience.saturating_duration_since(Instant::now())) {
            self.answered(answer);
        }
    }

    fn take(&mut self, event: Event) {
        let (pid, time) = (event.tid, event.time);
        match event.kind {
            EventKind::NewFile(_) => {
                if self.executed.len() < MOST_PENDING {
                    self.executed.push_back((pid, time));
                } else {
                    self.state.lock().tally.skipped += 1;
                }
                return;
            }
            EventKind::Origin(Origin { cgroup, .. }) => {
                self.places.note(cgroup);
                self.claimed.insert(pid, time);
            }
            _ => {}
        }
        if let Some(start) = self.starts.take(event, None) {
            let reached = start.events.last().is_some_and(Event::is_main);
            if reached && self.settling.len() < MOST_PENDING {
                self.settling.push_back((pid, time));
            }
            self.tell(&start);
        }
    }

    fn ask_pending(&mut self) {
        let now = boot_clock();
        while let Some((pid, time)) = self.executed.pop_front_if(|(_, time)| now.since(*time) > CLAIM_TIME) {
            // Its own start, or that of what it became since.
            if self.claimed.get(&pid).is_none_or(|claimed| *claimed < time) {
                self.ask(Question::Process { pid, seen: time, exec: Some(time) });
            }
        }
        while let Some((pid, time)) = self.settling.pop_front_if(|(_, time)| now.since(*time) > SETTLED) {
            self.ask(Question::Process { pid, seen: time, exec: None });
        }
    }

    /// Asks for every process that is not known, not more often than every five seconds.
    pub(super) fn look_around(&mut self) {
        let due = self.looked_around.is_none_or(|last| last.elapsed() > Duration::from_secs(5));
        if !self.look_around || !due {
            return;
        }
        (self.look_around, self.looked_around) = (false, Some(Instant::now()));
        let seen = boot_clock();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        for pid in pids.collect::<Vec<_>>() {
            if !self.state.lock().registry.has(pid) {
                self.ask(Question::Process { pid, seen, exec: None });
            }
        }
    }

    fn ask(&mut self, question: Question) {
        if !self.looker.ask(question) {
            self.state.lock().tally.skipped += 1;
        }
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Process(looked) => self.found(*looked),
            Answer::Executable(file, executable) => self.read(file, executable),
            Answer::Files { changed, unlinked } => self.files_changed(&changed, &unlinked),
            Answer::Usage(all) => {
                let mut state = self.state.lock();
                all.into_iter().for_each(|(process, usage)| state.registry.note(&process, usage));
            }
            Answer::Nothing => {}
            Answer::Silent(question) => {
                self.state.lock().tally.silent += 1;
                if let Question::Executable { file, process } = question {
                    tracing::warn!("{} does not answer", printable(&process.exe().to_string_lossy()));
                    self.programs.refuse(file, boot_clock());
                }
            }
        }
    }

    /// A process runs, and may be one to look at.
    fn found(&mut self, looked: Looked) {
        let pod = self.places.pod(&looked.identity);
        let facts = Facts { exe: &looked.exe, identity: &looked.identity, pod: pod.as_ref() };
        if !self.selection.may_take(facts) {
            return;
        }
        let is_full = self.programs.len() >= self.limits.binaries || self.refusing;
        match self.programs.known(looked.file, boot_clock()) {
            Some(Known::Watched(number)) => {
                let number = *number;
                self.enter(looked, number);
            }
            Some(Known::Reading(waiting)) => {
                if !wait(waiting, looked) {
                    self.state.lock().tally.skipped += 1;
                }
            }
            Some(Known::Not(_)) => {}
            None if is_full => {
                self.state.lock().tally.skipped += 1;
            }
            None => {
                let (file, process) = (looked.file, looked.process.clone());
                self.programs.reading(file, vec![looked]);
                self.ask(Question::Executable { file, process });
            }
        }
    }

    /// An executable was read: it is watched if one of those that wait for it is to be looked at.
    fn read(&mut self, file: FileId, executable: Executable) {
        let waiting = self.programs.read(file);
        let program = match executable {
            Executable::Go(program) => *program,
            Executable::Refused(why) => {
                tracing::warn!("not watched: {}", printable(&why));
                self.state.lock().tally.refused += 1;
                return self.programs.refuse(file, boot_clock());
            }
            Executable::Other => return self.programs.refuse(file, boot_clock()),
        };
        if matches!(self.programs.known(file, boot_clock()), Some(Known::Watched(_))) {
            return;
        }
        let wanted: Vec<Looked> =
            waiting.into_iter().filter(|looked| self.is_wanted(looked, program.module.as_deref())).collect();
        // By its path it is wanted before anybody runs it.
        let by_path = self.selection.paths().any(|path| path == program.path);
        if wanted.is_empty() && !by_path {
            return self.programs.refuse(file, boot_clock());
        }
        match self.watch(file, program) {
            Ok(number) => wanted.into_iter().for_each(|looked| self.enter(looked, number)),
            Err(error) => {
                tracing::warn!("not watched: {error}");
                self.state.lock().tally.refused += 1;
                self.programs.refuse(file, boot_clock());
            }
        }
    }

    fn is_wanted(&mut self, looked: &Looked, module: Option<&str>) -> bool {
        let pod = self.places.pod(&looked.identity);
        let facts = Facts { exe: &looked.exe, identity: &looked.identity, pod: pod.as_ref() };
        self.selection.takes(facts, module)
    }

    fn watch(&mut self, file: FileId, program: Program) -> Result<u64, Box<dyn std::error::Error>> {
        let stamp = Stamp::of(&program.file)?;
        let number = self.programs.next_number();
        self.kernel.watching.arm(number, &program.file, &program.sites)?;
        tracing::info!(
            exe = %printable(&program.exe),
            module = %printable(program.module.as_deref().unwrap_or_default()),
            sites = program.sites.len(),
            "watched"
        );
        let watched = Watched { program: Arc::new(program), stamp, since: boot_clock(), events: 0 };
        self.programs.watch(file, number, watched);
        self.state.lock().binaries = self.programs.len();
        // Others of it may have begun meanwhile.
        self.look_around = true;
        Ok(number)
    }

    /// A process of a watched program runs.
    fn enter(&mut self, looked: Looked, number: u64) {
        let Some(Watched { program, since, .. }) = self.programs.get(number) else { return };
        let (program, since) = (program.clone(), *since);
        if !self.is_wanted(&looked, program.module.as_deref()) {
            return;
        }
        let pod = self.places.pod(&looked.identity);
        let workload = Workload::new(&program.exe, program.module.as_deref(), &looked.identity, pod.as_ref());
        let pid = looked.process.pid;
        let mut state = self.state.lock();
        let late = looked.exec.is_some_and(|exec| exec < since) && !state.registry.has(pid);
        if late && self.claimed.get(&pid).copied() < looked.exec {
            state.workloads.of(&workload).joined_late += 1;
        }
        state.registry.add(looked.process, program, workload);
    }

    fn files_changed(&mut self, changed: &[u64], unlinked: &[u64]) {
        let runs = |number: &u64| {
            let Some(watched) = self.programs.get(*number) else { return false };
            let state = self.state.lock();
            state.registry.iter().any(|running| Arc::ptr_eq(&running.program, &watched.program))
        };
        let gone: Vec<u64> =
            changed.iter().copied().chain(unlinked.iter().copied().filter(|number| !runs(number))).collect();
        for number in gone {
            if let Some(watched) = self.programs.get(number) {
                tracing::info!(exe = %printable(&watched.program.exe), "no longer watched: its file was changed or removed");
            }
            if let Err(error) = self.kernel.watching.disarm(number) {
                tracing::warn!("{error}");
            }
            self.programs.forget(number);
            self.look_around = true;
        }
        self.state.lock().binaries = self.programs.len();
    }

    /// Forgets which starts were seen long ago.
    pub(super) fn forget_claims(&mut self) {
        let now = boot_clock();
        self.claimed.retain(|_, time| now.since(*time) < Nanos(10_000_000_000));
    }

    /// The most memory that the agent may have.
    pub(super) const fn memory_limit(&self) -> u64 {
        self.limits.memory
    }

    /// Takes the probes away. Returns how long that took.
    pub fn end(self) -> Duration {
        let mut state = self.state.lock();
        (state.binaries, state.under_way) = (0, 0);
        drop(state);
        self.kernel.watching.detach()
    }
}
