//! What the kernel side keeps of the target's main thread, which all inits run on: `runtime.main` locks the
//! main goroutine to it until `main.main` (runtime/proc.go).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::wire::account::Account;

/// The name of the map that holds the [`MainThread`], at index 0.
pub const MAIN_MAP: &str = "MAIN";

/// [`MainThread::state`]: it has a CPU.
pub const ON_CPU: u32 = 0;
/// [`MainThread::state`]: it could run, and has no CPU.
pub const RUNNABLE: u32 = 1;
/// [`MainThread::state`]: it waits for something.
pub const BLOCKED: u32 = 2;

/// [`MainThread::over`]: `main.main` has begun.
pub const MAIN_BEGAN: u32 = 1;
/// [`MainThread::over`]: the thread has ended.
pub const ENDED: u32 = 2;

/// "None", for a system call's number and a wait reason.
pub const NONE: u64 = u64::MAX;

/// The main thread, from its last system call before execve to `main.main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MainThread {
    /// Its `task_struct`'s address; 0 until it was met.
    pub task: u64,
    /// Its thread id and, in the upper half, its process id, both in the initial PID namespace.
    pub pid_tgid: u64,
    /// The main goroutine's `g`; 0 until it runs.
    pub g: u64,
    /// When it came into its present state, on the boot clock.
    pub since: u64,
    /// Counts the changes of state, so that a reader can tell that one came in between.
    pub changes: u64,
    /// Where its time went up to `since`.
    pub account: Account,
    /// What kept it off the CPU in the present system call, or does now.
    pub wait: PresentWait,
    /// The last system call that would have blocked, and its descriptor: what the network poller waits for.
    pub would_block: [u64; 2],
    /// [`ON_CPU`], [`RUNNABLE`] or [`BLOCKED`].
    pub state: u32,
    /// 1 once it has executed the program.
    pub executed: u32,
    /// [`MAIN_BEGAN`] or [`ENDED`], once it is; from then on it is not looked at any more. Else 0.
    pub over: u32,
    /// 1 once a socket's first connection was accepted.
    pub accepted: u32,
}

/// The wait that is going on, or the sum of those of a system call that has not returned yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PresentWait {
    /// When the first began.
    pub start: u64,
    /// The sum of those that are over, in nanoseconds.
    pub duration: u64,
    /// The instruction that the thread is at.
    pub ip: u64,
    /// The system call's number, or [`NONE`].
    pub syscall: u64,
    /// The system call's first three arguments.
    pub arguments: [u64; 3],
    /// A `WaitKind` by number.
    pub kind: u32,
    /// `g.waitreason`, or all ones.
    pub wait_reason: u32,
}
