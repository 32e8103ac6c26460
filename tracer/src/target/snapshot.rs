//! A running Go program at one moment, as far as its start goes: which inits are over, and where its main
//! goroutine is.

use super::gobin::{BinaryError, GoBinary, InitTask, wait_reason};
use super::goroutine::{Goroutine, GoroutineError, GoroutineStatus, MainGoroutine};
use super::memory::{Memory as _, ProcessMemory};
use super::process::{Process, ProcessError};
use super::syscall::CallObject;
use super::thread::ThreadState;
use crate::units::{Nanos, RuntimeAddr, boot_clock, monotonic_clock};

/// How far an init task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitState {
    /// It has not begun.
    NotStarted,
    /// It has begun and not ended. Up to Go 1.20 that is also said of those whose dependencies run.
    InProgress,
    /// It is over.
    Done,
}

/// The main goroutine, with what the kernel and the file know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MainState {
    /// What the runtime keeps of it.
    pub goroutine: Goroutine,
    /// The runtime's words for why it waits; only while it does.
    pub wait_reason: Option<&'static str>,
    /// Since when it waits as the runtime noted it, on the boot clock: it may be longer.
    pub waits_since: Option<Nanos>,
    /// The thread that runs it, or that alone may; none while it has none.
    pub thread: Option<ThreadState>,
    /// What it waits for, when that is a descriptor, a path or a time.
    pub object: Option<CallObject>,
}

/// One moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When, on the boot clock.
    pub at: Nanos,
    /// Whether a signal or a debugger has stopped the process.
    pub stopped: bool,
    /// The init tasks' states, in the order of the tasks.
    pub inits: Vec<InitState>,
    /// The main goroutine; none when the runtime has not made it yet.
    pub main: Result<Option<MainState>, GoroutineError>,
}

/// A running Go program, ready to be looked at.
pub struct Observed<'a> {
    process: &'a Process,
    binary: &'a GoBinary,
    memory: ProcessMemory,
    /// By how much its addresses are larger than its binary's.
    pub bias: u64,
    /// Its init tasks, in the order in which they run.
    pub tasks: Vec<InitTask>,
}

/// What a program cannot be looked at for.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its binary.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// An init task has a state that there is not.
    #[error(
        "the init task of {package} in memory has a state that there is not ({state}): it is laid out in another way than gotrace knows"
    )]
    State {
        /// The package.
        package: String,
        /// What was read.
        state: u64,
    },
}

impl<'a> Observed<'a> {
    /// Opens the process's memory and proves that the program in it is this binary.
    ///
    /// # Errors
    /// When it is not, or may not be read, or the binary's inits cannot be listed.
    pub fn new(process: &'a Process, binary: &'a GoBinary) -> Result<Self, ObserveError> {
        let tasks = binary.init_tasks()?;
        let memory = process.memory()?;
        let bias = process.load_bias(binary, &memory)?;
        Ok(Self { process, binary, memory, bias, tasks })
    }

    /// Looks at it, without stopping it.
    ///
    /// # Errors
    /// When it has ended, or its memory is not as expected.
    pub fn look(&self) -> Result<Snapshot, ObserveError> {
        // The inits first: should one end meanwhile, the goroutine is further on and not behind.
        let inits: Vec<_> = self.tasks.iter().map(|task| self.init_state(task)).collect::<Result<_, _>>()?;
        let main = MainGoroutine::find(self.binary, self.bias, &self.memory)
            .and_then(|main| main.map(|main| main.read(&self.memory)).transpose());
        let main = match main {
            // It runs the inits, so it is there.
            Ok(None) if inits.iter().any(|state| *state != InitState::NotStarted) => {
                Err(GoroutineError::NoList)
            }
            main => main.map(|main| main.map(|goroutine| self.main_state(goroutine))),
        };
        let stopped = matches!(self.process.stat()?.state, 'T' | 't');
        Ok(Snapshot { at: boot_clock(), stopped, inits, main })
    }

    fn init_state(&self, task: &InitTask) -> Result<InitState, ObserveError> {
        let at = RuntimeAddr(task.address.0.wrapping_add(self.bias));
        let mut state = [0; 8];
        self.memory
            .read(at, &mut state[..self.binary.init_state_size()])
            .map_err(|error| ObserveError::Process(self.process.failed("its memory", &error)))?;
        match u64::from_le_bytes(state) {
            0 => Ok(InitState::NotStarted),
            1 => Ok(InitState::InProgress),
            2 => Ok(InitState::Done),
            state => Err(ObserveError::State { package: task.package.clone(), state }),
        }
    }

    fn main_state(&self, goroutine: Goroutine) -> MainState {
        let waits = goroutine.status == GoroutineStatus::Waiting;
        let thread = goroutine.procid.and_then(|procid| self.process.thread_known_as(procid));
        let thread = thread.and_then(|tid| self.process.thread(tid));
        let call = thread.as_ref().and_then(|thread| thread.syscall);
        let object = match (waits, goroutine.polled_fd) {
            (true, Some(fd)) => Some(CallObject { fd: Some(fd), object: self.process.object(fd) }),
            // While it is parked its thread waits for it to be resumed, which is not the goroutine's call.
            (true, None) => None,
            (false, _) => call.map(|call| call.object(self.process, &self.memory)),
        };
        let ago = goroutine
            .wait_since
            .filter(|_| self.process.shares_clock())
            .and_then(|since| monotonic_clock().0.checked_sub(since));
        MainState {
            wait_reason: wait_reason(self.binary.version(), goroutine.wait_reason)
                .filter(|reason| waits && !reason.is_empty()),
            waits_since: ago.map(|ago| Nanos(boot_clock().0.saturating_sub(ago))),
            thread,
            object,
            goroutine,
        }
    }
}
