//! How far a program that runs already is with its start, and what it is blocked on: from two looks at its
//! memory, shortly after each other.

use super::stack::{Code, Stack};
use crate::target::gobin::{Frame, InitTask};
use crate::target::goroutine::{GoroutineError, GoroutineStatus};
use crate::target::snapshot::{InitState, MainState, Snapshot};
use crate::target::thread::SystemCall;
use crate::units::Nanos;

/// How far the start is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The runtime has not made the main goroutine: exec, dynamic linking, bootstrap.
    BeforeInit,
    /// An init runs, or is the next to run.
    InInit {
        /// Its place among all inits, from zero.
        seq: usize,
        /// Its package.
        package: String,
        /// Whether it has begun.
        begun: bool,
    },
    /// All inits are over.
    InitOver,
}

/// How long something has lasted at least, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtLeast {
    /// That long.
    pub duration: Nanos,
    /// How it is known.
    pub evidence: Evidence,
}

/// How a duration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two looks found it in the same place.
    TwoLooks,
    /// Its thread has not been on a processor since, as the scheduler counts, and no other may run it.
    ThreadAsleep,
    /// The collector came by and noted that it waited (`g.waitsince`).
    WaitSince,
}

impl Evidence {
    /// In one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoLooks => "two_looks",
            Self::ThreadAsleep => "thread_asleep",
            Self::WaitSince => "waitsince",
        }
    }
}

/// The main goroutine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MainView {
    /// As it was at the second look.
    pub state: MainState,
    /// Its stack; empty while it runs.
    pub stack: Stack,
    /// How long it has been where it is; none when the two looks found it in different places, or running.
    pub stays: Option<AtLeast>,
}

impl MainView {
    /// The system call that it is in; while it is parked or waits its turn, its thread's is not its own.
    #[must_use]
    pub fn call(&self) -> Option<SystemCall> {
        let own = matches!(self.state.goroutine.status, GoroutineStatus::Syscall | GoroutineStatus::Running);
        self.state.thread.as_ref().and_then(|thread| thread.syscall).filter(|_| own)
    }

    /// What kind of thing it waits for, as the contract names them; none while it does not wait.
    #[must_use]
    pub fn kind(&self) -> Option<&'static str> {
        let object = self.state.object.as_ref().and_then(|object| object.object.as_deref());
        let of_object = || match object?.split(' ').next()? {
            "udp" if object?.ends_with(":53") => Some("dns"),
            "tcp" | "udp" | "unix" | "socket" => Some("network"),
            "file" | "fifo" | "pipe" | "directory" | "device" => Some("file"),
            _ => None,
        };
        match (self.state.goroutine.status, self.call().and_then(|call| call.name())) {
            (GoroutineStatus::Waiting, _) => Some(match self.state.wait_reason {
                Some("IO wait") => of_object().unwrap_or("network"),
                Some("sleep") => "sleep",
                _ => "goroutine",
            }),
            (GoroutineStatus::Syscall, Some("futex")) => Some("futex"),
            (GoroutineStatus::Syscall, Some("nanosleep" | "clock_nanosleep")) => Some("sleep"),
            (GoroutineStatus::Syscall, Some(_)) => Some(of_object().unwrap_or("other")),
            _ => None,
        }
    }
}

/// The status of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupStatus {
    /// How far it is.
    pub stage: Stage,
    /// Whether a signal or a debugger has stopped the process: then nothing tells what it waits for.
    pub stopped: bool,
    /// How many inits there are that run something.
    pub inits: usize,
    /// How many of them are over.
    pub done: usize,
    /// The package's function that runs, when the stack tells; with the line that it is at.
    pub init_function: Option<Frame>,
    /// Whether `main.main` has been called; none when the stack does not tell.
    pub in_main: Option<bool>,
    /// The main goroutine; none when there is none yet.
    pub main: Result<Option<MainView>, GoroutineError>,
}

impl StartupStatus {
    /// What two looks tell of a program with these init tasks.
    #[must_use]
    pub fn of(tasks: &[InitTask], first: &Snapshot, second: &Snapshot, code: &impl Code) -> Self {
        let main = match (&first.main, &second.main) {
            (_, Err(error)) => Err(error.clone()),
            (_, Ok(None)) => Ok(None),
            (before, Ok(Some(now))) => {
                let before = before.as_ref().ok().and_then(Option::as_ref);
                let stack =
                    now.goroutine.stack.as_ref().map(|copy| Stack::unwind(copy, code)).unwrap_or_default();
                let is_same = !second.stopped
                    && first.inits == second.inits
                    && before.is_some_and(|before| is_same_place(before, now, &stack, code));
                let stays = is_same.then(|| stays(now, second.at.since(first.at), second.at));
                Ok(Some(MainView { state: now.clone(), stack, stays }))
            }
        };
        let view = main.as_ref().ok().and_then(Option::as_ref);
        let stage = stage(tasks, &second.inits, view.is_none() && main.is_ok());
        let stack = view.map(|view| &view.stack);
        Self {
            stopped: second.stopped,
            inits: tasks.len(),
            done: second.inits.iter().filter(|state| **state == InitState::Done).count(),
            init_function: match stage {
                Stage::InInit { begun: true, .. } => stack.and_then(Stack::init_function).cloned(),
                _ => None,
            },
            in_main: match stack {
                Some(stack) if stack.has("main.main") => Some(true),
                Some(stack) if stack.whole => Some(false),
                _ => None,
            },
            stage,
            main,
        }
    }

    /// The main goroutine, where there is one and it could be read.
    #[must_use]
    pub fn main_view(&self) -> Option<&MainView> {
        self.main.as_ref().ok()?.as_ref()
    }

    /// Whether it is known to stay where it is before `main.main`, not running.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        matches!(self.stage, Stage::InInit { .. })
            && self.main_view().is_some_and(|main| main.stays.is_some())
    }
}

/// They run in order, so the first that is not over is the one: up to Go 1.20 those that depend on it, and wait
/// for it with a state of "in progress", come behind it.
fn stage(tasks: &[InitTask], states: &[InitState], without_main: bool) -> Stage {
    let undone = tasks.iter().zip(states).enumerate().find(|(_, (_, state))| **state != InitState::Done);
    match undone {
        None if tasks.is_empty() && without_main => Stage::BeforeInit,
        None => Stage::InitOver,
        Some((0, (_, InitState::NotStarted))) if without_main => Stage::BeforeInit,
        Some((seq, (task, state))) => {
            Stage::InInit { seq, package: task.package.clone(), begun: *state == InitState::InProgress }
        }
    }
}

/// Whether nothing has moved between two looks: same calls, same wait, same system call, and a thread that has
/// not run.
fn is_same_place(before: &MainState, now: &MainState, stack: &Stack, code: &impl Code) -> bool {
    let rests = match now.goroutine.status {
        GoroutineStatus::Waiting => true,
        // Without a call it is C code that runs.
        GoroutineStatus::Syscall => now.thread.as_ref().is_some_and(|thread| thread.syscall.is_some()),
        _ => false,
    };
    let place = |state: &MainState| {
        let goroutine = &state.goroutine;
        (goroutine.status, goroutine.wait_reason, goroutine.stack.as_ref().map(|stack| (stack.sp, stack.pc)))
    };
    let calls = |state: &MainState| state.thread.as_ref().map(|thread| thread.syscall);
    rests
        && place(before) == place(now)
        && calls(before) == calls(now)
        && before.goroutine.stack.as_ref().map(|copy| Stack::unwind(copy, code)).as_ref() == Some(stack)
}

/// The longest of what is known.
fn stays(now: &MainState, between: Nanos, at: Nanos) -> AtLeast {
    let since =
        |since: Option<Nanos>, evidence| since.map(|since| AtLeast { duration: at.since(since), evidence });
    // Another thread may run a goroutine that is parked, unless it is locked to this one.
    let asleep = now.thread.as_ref().and_then(|thread| thread.off_cpu_since);
    [since(now.waits_since, Evidence::WaitSince), since(asleep, Evidence::ThreadAsleep)]
        .into_iter()
        .flatten()
        .fold(AtLeast { duration: between, evidence: Evidence::TwoLooks }, |longest, other| {
            if other.duration > longest.duration { other } else { longest }
        })
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
