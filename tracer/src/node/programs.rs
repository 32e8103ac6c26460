//! The programs that are watched, and which executables are none.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::looker::{Looked, Stamp};
use super::program::Program;
use crate::target::descriptor::Identity as FileId;
use crate::units::Nanos;

/// So many executables that are not watched are remembered.
const MOST_KNOWN: usize = 16 << 10;

/// For so long it is believed that an executable is none to watch: another file may get its number.
const BELIEVED: Nanos = Nanos(60_000_000_000);

/// So many processes wait for their executable to be read.
const MOST_WAITING: usize = 1024;

/// A watched program.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) program: Arc<Program>,
    pub(super) stamp: Stamp,
    /// From when on its starts are seen.
    pub(super) since: Nanos,
    /// How many events of its starts were seen, in this window of the budget.
    pub(super) events: usize,
}

/// What is known of an executable.
#[derive(Debug)]
pub(super) enum Known {
    /// It is being read, and these wait for it.
    Reading(Vec<Looked>),
    /// It is watched under that number.
    Watched(u64),
    /// It is not to be watched, as was found then.
    Not(Nanos),
}

/// The table of them.
#[derive(Debug, Default)]
pub(super) struct Programs {
    files: HashMap<FileId, Known>,
    watched: BTreeMap<u64, Watched>,
    next: u64,
}

impl Programs {
    /// What is known of a file now.
    pub(super) fn known(&mut self, file: FileId, now: Nanos) -> Option<&mut Known> {
        if let Some(Known::Not(since)) = self.files.get(&file)
            && now.since(*since) > BELIEVED
        {
            self.files.remove(&file);
        }
        self.files.get_mut(&file)
    }

    /// A file that a process waits for is read.
    pub(super) fn reading(&mut self, file: FileId, waiting: Vec<Looked>) {
        if self.files.len() >= MOST_KNOWN {
            self.files.retain(|_, known| !matches!(known, Known::Not(_)));
        }
        self.files.insert(file, Known::Reading(waiting));
    }

    /// It has been read. Returns who waited.
    pub(super) fn read(&mut self, file: FileId) -> Vec<Looked> {
        match self.files.remove(&file) {
            Some(Known::Reading(waiting)) => waiting,
            _ => Vec::new(),
        }
    }

    /// It is not to be watched.
    pub(super) fn refuse(&mut self, file: FileId, now: Nanos) {
        self.files.insert(file, Known::Not(now));
    }

    /// The number for the next program.
    pub(super) fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// It is watched under that number.
    pub(super) fn watch(&mut self, file: FileId, number: u64, watched: Watched) {
        self.files.insert(file, Known::Watched(number));
        self.watched.insert(number, watched);
    }

    /// It is not watched any more.
    pub(super) fn forget(&mut self, number: u64) {
        self.watched.remove(&number);
        self.files.retain(|_, known| !matches!(known, Known::Watched(own) if *own == number));
    }

    /// It is not watched for a while.
    pub(super) fn suspend(&mut self, number: u64, now: Nanos) {
        self.watched.remove(&number);
        let of_it = |known: &&mut Known| matches!(known, Known::Watched(own) if *own == number);
        self.files.values_mut().filter(of_it).for_each(|known| *known = Known::Not(now));
    }

    /// Events of starts of a program were seen.
    pub(super) fn count(&mut self, number: u64, events: usize) {
        if let Some(watched) = self.watched.get_mut(&number) {
            watched.events += events;
        }
    }

    /// How many events the starts of each program had since this was asked last.
    pub(super) fn take_counts(&mut self) -> Vec<(u64, usize)> {
        let counts = self.watched.iter_mut();
        counts.map(|(number, watched)| (*number, std::mem::take(&mut watched.events))).collect()
    }

    /// The watched program of that number.
    pub(super) fn get(&self, number: u64) -> Option<&Watched> {
        self.watched.get(&number)
    }

    /// How many are watched.
    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Watched)> {
        self.watched.iter().map(|(number, watched)| (*number, watched))
    }
}

/// Adds one who waits, if there is room.
pub(super) fn wait(waiting: &mut Vec<Looked>, looked: Looked) -> bool {
    let room = waiting.len() < MOST_WAITING;
    if room {
        waiting.push(looked);
    }
    room
}
