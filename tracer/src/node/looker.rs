//! Looks at processes and executables, in a thread that may get stuck.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::program::{Executable, Program};
use super::usage::Usage;
use crate::target::descriptor::{self, Identity as FileId};
use crate::target::identity::Identity;
use crate::target::patience::Patient;
use crate::target::process::Process;
use crate::units::Nanos;

/// How long one answer may take: a large binary on a slow disk takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so many threads that are stuck no more are started.
const MOST_STUCK: usize = 8;

/// So many questions wait at a time.
const MOST_WAITING: usize = 4096;

/// What is to be looked at.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// The process of that number, if it had it at that time already.
    Process {
        /// Its number.
        pid: u32,
        /// When it was there.
        seen: Nanos,
        /// When it became what it is, if that was seen.
        exec: Option<Nanos>,
    },
    /// The executable that a process runs.
    Executable {
        /// Which file that is.
        file: FileId,
        /// Who runs it.
        process: Arc<Process>,
    },
    /// The executable of that path.
    Path(PathBuf),
    /// What processes have.
    Usage(Vec<(Arc<Process>, Arc<Program>)>),
    /// Whether watched programs' files are as they were.
    Files(Vec<(u64, Arc<Program>, Stamp)>),
}

/// What was found.
#[derive(Debug)]
pub(super) enum Answer {
    /// A process.
    Process(Box<Looked>),
    /// An executable, and which file it is.
    Executable(FileId, Executable),
    /// The numbers of the programs whose files were changed in place, and of those that have no name any more.
    Files {
        /// Changed.
        changed: Vec<u64>,
        /// Without a name.
        unlinked: Vec<u64>,
    },
    /// What processes have.
    Usage(Vec<(Arc<Process>, Usage)>),
    /// Nothing that could be looked at.
    Nothing,
    /// No answer came in time.
    Silent(Question),
}

/// A process as it was found.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    /// It, and no other that is given its number.
    pub process: Arc<Process>,
    /// Which file it runs.
    pub file: FileId,
    /// That file's path, as its own mount namespace has it.
    pub exe: PathBuf,
    /// What its control group tells.
    pub identity: Identity,
    /// When it became what it is, if that was seen.
    pub exec: Option<Nanos>,
}

/// By what a change of a file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// Of an open file.
    ///
    /// # Errors
    /// When its file system does not tell.
    pub(super) fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { size: metadata.size(), modified: (metadata.mtime(), metadata.mtime_nsec()) })
    }
}

/// Answers questions in their order.
#[derive(Debug)]
pub(super) struct Looker {
    patient: Patient<Question, Answer>,
    waiting: VecDeque<Question>,
    /// When the first of them was begun with, at the earliest.
    since: Instant,
    /// How many threads are stuck.
    pub stuck: usize,
}

impl Default for Looker {
    fn default() -> Self {
        let patient = Patient::start(look);
        Self { patient, waiting: VecDeque::new(), since: Instant::now(), stuck: 0 }
    }
}

impl Looker {
    /// Asks. Whether there was room.
    pub(super) fn ask(&mut self, question: Question) -> bool {
        if self.waiting.len() >= MOST_WAITING || self.is_blind() {
            return false;
        }
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        let heard = self.patient.ask(question.clone());
        if heard {
            self.waiting.push_back(question);
        }
        heard
    }

    /// Whether so many threads are stuck that nothing is looked at any more.
    #[must_use]
    pub(super) fn is_blind(&self) -> bool {
        self.stuck >= MOST_STUCK
    }

    /// How many questions wait.
    #[must_use]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The next answer, waited for so long.
    pub(super) fn answer(&mut self, patience: Duration) -> Option<Answer> {
        if self.waiting.is_empty() {
            return None;
        }
        if let Some(answer) = self.patient.answer(patience) {
            self.waiting.pop_front();
            self.since = Instant::now();
            return Some(answer);
        }
        if self.since.elapsed() < PATIENCE {
            return None;
        }
        let silent = self.waiting.pop_front()?;
        self.stuck += 1;
        if self.is_blind() {
            self.waiting.clear();
            return Some(Answer::Silent(silent));
        }
        self.patient = Patient::start(look);
        self.since = Instant::now();
        let again = std::mem::take(&mut self.waiting);
        self.waiting = again.into_iter().filter(|question| self.patient.ask(question.clone())).collect();
        Some(Answer::Silent(silent))
    }
}

fn look(question: Question) -> Answer {
    match question {
        Question::Process { pid, seen, exec } => {
            process(pid, seen, exec).map_or(Answer::Nothing, |looked| Answer::Process(Box::new(looked)))
        }
        Question::Executable { file, process } => match process.open_exe() {
            Ok(opened) => Answer::Executable(file, Executable::read(opened, process.exe())),
            Err(_) => Answer::Nothing,
        },
        Question::Path(path) => by_path(path).unwrap_or(Answer::Nothing),
        Question::Usage(processes) => {
            let of = |(process, program): (Arc<Process>, Arc<Program>)| {
                let usage = Usage::of(&process, &program);
                (process, usage)
            };
            Answer::Usage(processes.into_iter().map(of).collect())
        }
        Question::Files(programs) => files(&programs),
    }
}

fn process(pid: u32, seen: Nanos, exec: Option<Nanos>) -> Option<Looked> {
    let process = Process::of_pid(pid).ok()?;
    // The kernel counts when it began in steps of 10 ms, rounded down.
    if process.stat().ok()?.start > seen {
        return None;
    }
    let (file, exe, identity) = (process.exe_identity()?, process.exe(), process.identity());
    Some(Looked { process: Arc::new(process), file, exe, identity, exec })
}

/// Only a regular file: opening another may wait for somebody.
fn by_path(path: PathBuf) -> Option<Answer> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let id = descriptor::identity_of(&file)?;
    Some(Answer::Executable(id, Executable::read(file, path)))
}

fn files(programs: &[(u64, Arc<Program>, Stamp)]) -> Answer {
    let (mut changed, mut unlinked) = (Vec::new(), Vec::new());
    for (number, program, stamp) in programs {
        if Stamp::of(&program.file).ok() != Some(*stamp) {
            changed.push(*number);
        } else if program.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0) {
            unlinked.push(*number);
        }
    }
    Answer::Files { changed, unlinked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::boot_clock;

    fn ask(question: Question) -> Answer {
        let mut looker = Looker::default();
        assert!(looker.ask(question));
        looker.answer(Duration::from_secs(30)).unwrap()
    }

    #[test]
    fn a_process_that_began_later_than_who_was_meant_is_another() {
        let pid = std::process::id();
        let own = |seen| ask(Question::Process { pid, seen, exec: None });
        let Answer::Process(looked) = own(boot_clock()) else { panic!("itself") };
        assert_eq!(looked.exe, std::env::current_exe().unwrap());
        assert!(matches!(own(Nanos(1)), Answer::Nothing));
    }

    #[test]
    fn only_regular_files_are_opened() {
        for path in ["/", "/dev/null", "/none"] {
            assert!(matches!(ask(Question::Path(path.into())), Answer::Nothing), "{path}");
        }
        let answer = ask(Question::Path("/bin/true".into()));
        assert!(matches!(answer, Answer::Executable(_, Executable::Other)), "{answer:?}");
    }
}
