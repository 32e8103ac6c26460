//! Goroutines that inits start.

use std::collections::HashMap;

use tracer_ebpf::wire::Probe;
use tracer_ebpf::wire::syscall::number;

use super::init::Init;
use crate::event::{Event, EventKind};

/// What an init started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// How many goroutines, by whomever, while it ran.
    pub total: u64,
    /// How many of them were not over when `main.main` began. Go statements tell them apart: where two inits
    /// use the same one, those of the first end first.
    pub at_main: u64,
}

/// How much of everything there was when `main.main` began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Threads, Go's M.
    pub threads: u64,
    /// Processors, Go's P; none when unknown.
    pub ps: Option<u64>,
    /// Goroutines, the runtime's own among them.
    pub goroutines: u64,
}

/// What each init started, by its index; of the events before `main.main`.
pub(super) fn started(events: &[Event], inits: &[Init]) -> Vec<Started> {
    let mut started = vec![Started::default(); inits.len()];
    // By go statement: who used it, the earliest first.
    let mut users: HashMap<u64, Vec<usize>> = HashMap::new();
    let before_main = events.iter().take_while(|event| !event.is_main());
    for event in before_main {
        let EventKind::Hit(hit) = &event.kind else { continue };
        match hit.probe {
            Probe::GoStart => {
                let index = inits.partition_point(|init| init.start <= event.time).checked_sub(1);
                let Some(index) = index.filter(|index| inits[*index].contains(event.time)) else {
                    continue;
                };
                started[index].total += 1;
                started[index].at_main += 1;
                users.entry(hit.argument).or_default().push(index);
            }
            Probe::GoExit => {
                let Some(users) = users.get_mut(&hit.argument) else { continue };
                let alive = users.iter().position(|index| started[*index].at_main > 0);
                if let Some(index) = alive.map(|at| users.remove(at)) {
                    started[index].at_main -= 1;
                }
            }
            _ => {}
        }
    }
    started
}

/// The counts at `main.main`; none when it was not reached.
pub(super) fn counts(events: &[Event]) -> Option<Counts> {
    let main = events.iter().position(Event::is_main)?;
    let mut counts = Counts { threads: 1, ps: None, goroutines: 0 };
    for event in &events[..main] {
        match &event.kind {
            EventKind::Exit => counts.threads = counts.threads.saturating_sub(1),
            EventKind::Call(call) if call.result > 0 => {
                let flags = match call.syscall {
                    number::CLONE => call.arguments[0],
                    number::CLONE3 => {
                        let word = call.object.as_ref().and_then(|object| object.first_chunk());
                        word.map_or(0, |word| u64::from_ne_bytes(*word))
                    }
                    _ => continue,
                };
                if flags & u64::from(libc::CLONE_THREAD.cast_unsigned()) != 0 {
                    counts.threads += 1;
                }
            }
            EventKind::Hit(hit) => match hit.probe {
                Probe::ProcResize => counts.ps = Some(hit.argument & 0xffff_ffff),
                Probe::GoStart => counts.goroutines += 1,
                Probe::GoExit => counts.goroutines = counts.goroutines.saturating_sub(1),
                _ => {}
            },
            _ => {}
        }
    }
    Some(counts)
}
