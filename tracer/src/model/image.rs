//! The events of one program, and the moments that they mark.

use tracer_ebpf::wire::Probe;

use super::init::Allocated;
use super::parts::Parts;
use crate::event::{Account, Event, EventKind, Heap, Hit};
use crate::units::Nanos;

/// A moment of the startup.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) time: Nanos,
    /// Where the main thread's time had gone by then, if that is known.
    pub(super) account: Option<Account>,
    /// What had been allocated by then, if that is known.
    pub(super) heap: Option<Heap>,
}

impl Mark {
    pub(super) fn of_hit(time: Nanos, hit: &Hit) -> Self {
        Self { time, account: Some(hit.account), heap: hit.heap }
    }

    pub(super) fn allocated_until(self, end: Self) -> Option<Allocated> {
        Allocated::between(self.heap?, end.heap?)
    }

    pub(super) fn parts_until(self, end: Self) -> Option<Parts> {
        Some(Parts::between(&self.account?, &end.account?, end.time.since(self.time)))
    }
}

/// The events of one program: from its exec to the next one's.
pub(super) struct Image<'a> {
    pub(super) exec: Option<Mark>,
    pub(super) events: &'a [Event],
    pub(super) next: Option<&'a Event>,
}

impl<'a> Image<'a> {
    pub(super) fn cut(events: &'a [Event]) -> Self {
        let exec = |event: &Event| match &event.kind {
            EventKind::Exec { account, .. } => {
                Some(Mark { time: event.time, account: Some(*account), heap: None })
            }
            _ => None,
        };
        let first = events.iter().position(|event| exec(event).is_some());
        let rest = &events[first.map_or(0, |index| index + 1)..];
        let length = rest.iter().position(|event| exec(event).is_some()).unwrap_or(rest.len());
        let exec = first.and_then(|index| exec(&events[index]));
        Self { exec, events: &rest[..length], next: rest.get(length) }
    }

    /// When the next program began, or the last thread ended. An exit is one of a thread, so it is the
    /// process's own only when the process is known to be gone.
    pub(super) fn ended(&self, gone: Option<Nanos>) -> Option<Nanos> {
        if let Some(next) = self.next {
            return Some(next.time);
        }
        let gone = gone?;
        let last_exit = self.events.iter().rev().find(|event| event.kind == EventKind::Exit);
        Some(last_exit.map_or(gone, |exit| exit.time))
    }

    /// The thread that the first probed instruction ran on: all inits do (`runtime.main` locks its goroutine to it).
    pub(super) fn main_thread(&self) -> Option<u32> {
        Some(self.events.iter().find(|event| matches!(event.kind, EventKind::Hit(_)))?.tid)
    }

    /// When it ended.
    pub(super) fn main_thread_exit(&self) -> Option<Nanos> {
        let main = self.main_thread()?;
        let exit = self.events.iter().rev().find(|event| event.kind == EventKind::Exit && event.tid == main);
        exit.map(|exit| exit.time)
    }

    pub(super) fn replaced_by(&self) -> Option<String> {
        match &self.next?.kind {
            EventKind::Exec { comm, .. } => Some(comm.clone()),
            _ => None,
        }
    }

    pub(super) fn hits(&self) -> impl Iterator<Item = (Nanos, &'a Hit)> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Hit(hit) => Some((event.time, hit)),
            _ => None,
        })
    }

    /// A once-only hook may fire again when the stack grows under it; the first hit counts.
    pub(super) fn first(&self, probe: Probe) -> Option<Mark> {
        self.hits().find(|(_, hit)| hit.probe == probe).map(|(time, hit)| Mark::of_hit(time, hit))
    }
}
