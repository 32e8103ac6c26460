//! Which processes and executables there are: what is asked, and what follows from the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::agent::Session;
use super::looker::{Answer, Looked, Question};
use super::program::{Executable, Program};
use super::programs::{Known, Watched, wait};
use super::selector::Facts;
use super::workload::Workload;
use crate::export::printable;
use crate::target::descriptor::Identity as FileId;
use crate::units::{Nanos, boot_clock};

/// A process that executed a new file may come by a site of it within this time; then nobody need look at it. Not much
/// longer than that takes: many a program is over in ten times of it.
const CLAIM_TIME: Nanos = Nanos(3_000_000);

/// So long after `main.main` a process that still runs is taken for one that goes on.
const SETTLED: Nanos = Nanos(1_000_000_000);

impl Session {
    /// Asks for those that came by no known site in time, and for those that have begun.
    pub(super) fn ask_pending(&mut self) {
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

    /// Asks, or counts that nobody could.
    pub(super) fn ask(&mut self, question: Question) {
        if !self.looker.ask(question) {
            self.state.lock().tally.skipped += 1;
        }
    }

    /// Takes in what was found.
    pub(super) fn answered(&mut self, answer: Answer) {
        self.stirred |= matches!(answer, Answer::Executable(..) | Answer::Silent(_));
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
        self.watch_for(file, program, wanted);
    }

    /// A program that was found to be selected is about to be run for the first time. Returns it when it is watched.
    pub(super) fn first_start(&mut self, file: FileId, program: Program) -> Option<Arc<Program>> {
        if !matches!(self.programs.known(file, boot_clock()), Some(Known::Watched(_))) {
            if self.programs.len() >= self.limits.binaries || self.refusing {
                self.state.lock().tally.skipped += 1;
                return None;
            }
            let waiting = self.programs.read(file);
            self.watch_for(file, program, waiting);
        }
        let Some(Known::Watched(number)) = self.programs.known(file, boot_clock()) else { return None };
        let number = *number;
        self.programs.get(number).map(|watched| Arc::clone(&watched.program))
    }

    /// Puts a program's probes in place for these processes.
    fn watch_for(&mut self, file: FileId, program: Program, wanted: Vec<Looked>) {
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
        state.registry.add(looked.process, program, looked.file, workload);
    }
}
