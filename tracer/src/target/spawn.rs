//! A child that shares gotrace's memory until its execve, as one of vfork does: the execve then has nothing to
//! take down, which it would do on the program's time. `std::process::Command` forks whenever it is to run
//! code in the child. Unlike vfork's it wakes nobody by its execve.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::io;
use std::mem::zeroed;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::ptr::null;
use std::sync::atomic::{AtomicI32, Ordering};

use thiserror::Error;

/// What the child becomes. Everything that it needs is made beforehand: it must not allocate.
#[derive(Debug)]
pub(super) struct Image {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

/// Why it is not known how a child ended.
#[derive(Debug, Error)]
pub enum NoEnd {
    /// It could not become the program.
    #[error("{0}")]
    NotExecuted(#[source] io::Error),
    /// Somebody else has waited for it.
    #[error("cannot wait for the program: {0}")]
    NotSeen(#[source] io::Error),
}

impl Image {
    /// A program, with its arguments (the name that it is called by first) and, besides what gotrace's own
    /// environment holds, these variables.
    pub(super) fn new(
        program: &OsStr,
        arguments: &[&OsStr],
        variables: &[(&str, &OsStr)],
    ) -> io::Result<Self> {
        let mut environment = own_environment();
        for (name, value) in variables {
            let prefix = format!("{name}=").into_bytes();
            environment.retain(|entry| !entry.as_bytes().starts_with(&prefix));
            environment.push(c_string(&[&prefix, value.as_bytes()].concat())?);
        }
        Ok(Self {
            program: c_string(program.as_bytes())?,
            arguments: arguments
                .iter()
                .map(|argument| c_string(argument.as_bytes()))
                .collect::<io::Result<_>>()?,
            environment,
        })
    }

    /// Makes the child, which runs `before` and then becomes the program; calls `made` when it is there, and waits for its
    /// end. The calling thread is to be there for nothing else: no signal is handled in it from then on.
    ///
    /// # Safety
    /// `before` runs in the child, on the memory of both: it may make system calls on what belongs to the process
    /// (descriptors, credentials) and must not allocate, lock or go through wrappers of the C library that tell
    /// the other threads. So does `made`, in the thread whose own variables (errno) are also the child's.
    pub(super) unsafe fn run(
        &self,
        before: &dyn Fn() -> io::Result<()>,
        made: impl FnOnce(),
    ) -> Result<ExitStatus, NoEnd> {
        let pointers = |strings: &[CString]| -> Vec<*const c_char> {
            strings.iter().map(|string| string.as_ptr()).chain([null()]).collect()
        };
        let start = Start {
            program: &self.program,
            arguments: pointers(&self.arguments),
            environment: pointers(&self.environment),
            before,
            error: AtomicI32::new(0),
        };
        let mut stack = vec![0_u128; STACK / size_of::<u128>()];
        let mut all = no_signals();
        // SAFETY: `all` is a signal set.
        unsafe { libc::sigfillset(&raw mut all) };
        // A handler must not run in the child: it would do the parent's work on the parent's memory.
        mask(&all);
        // SAFETY: the stack is large enough for what runs on it. It outlives the child's use of it, as `start` does:
        // this function returns when the child has ended.
        let pid = unsafe {
            let top = stack.as_mut_ptr_range().end.cast::<c_void>();
            let flags = libc::CLONE_VM | libc::SIGCHLD;
            libc::clone(child, top, flags, (&raw const start).cast_mut().cast())
        };
        if pid < 0 {
            return Err(NoEnd::NotExecuted(io::Error::last_os_error()));
        }
        made();
        let status = wait(pid).map_err(NoEnd::NotSeen);
        match start.error.load(Ordering::Acquire) {
            0 => status,
            error => Err(NoEnd::NotExecuted(io::Error::from_raw_os_error(error))),
        }
    }
}

/// Waits for the child's end. Not by the C library's function, which notes in the thread's variables that it waits.
fn wait(pid: libc::pid_t) -> io::Result<ExitStatus> {
    let mut status: c_int = 0;
    let nothing: *const c_void = null();
    loop {
        // SAFETY: `status` is writable, and how much the child used is not wanted.
        let waited = unsafe { libc::syscall(libc::SYS_wait4, pid, &raw mut status, 0, nothing) };
        if waited == libc::c_long::from(pid) {
            return Ok(ExitStatus::from_raw(status));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Room for the child's calls; pages that it does not touch are never there.
const STACK: usize = 64 << 10;

/// What the child finds in the memory that it shares.
struct Start<'a> {
    program: &'a CStr,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    before: &'a dyn Fn() -> io::Result<()>,
    /// Why it has not become the program; 0 while nothing has failed.
    error: AtomicI32,
}

extern "C" fn child(start: *mut c_void) -> c_int {
    // SAFETY: the parent's `start`, which is there until this process has executed or ended.
    let start = unsafe { &*start.cast::<Start<'_>>() };
    default_handlers();
    mask(&no_signals());
    let error = match (start.before)() {
        Ok(()) => {
            // SAFETY: zero-terminated strings, and null behind the last.
            unsafe {
                libc::execve(start.program.as_ptr(), start.arguments.as_ptr(), start.environment.as_ptr());
            }
            io::Error::last_os_error()
        }
        Err(error) => error,
    };
    start.error.store(error.raw_os_error().unwrap_or(libc::ECANCELED), Ordering::Release);
    // SAFETY: the call has no preconditions; unlike exit it leaves the shared memory alone.
    unsafe { libc::_exit(127) }
}

/// In the child: waits until whoever let it go sleeps. While two are on a processor, the execve takes the program
/// to another one (`sched_exec`, kernel/sched/core.c), on the program's time.
pub(super) fn nap() {
    let time = libc::timespec { tv_sec: 0, tv_nsec: 100_000 };
    // SAFETY: `time` is readable, and nobody wants to know what was left of it.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}

/// Gives every signal that gotrace handles its default meaning, in the child only; and SIGPIPE, which Rust's
/// runtime ignores, also that.
fn default_handlers() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the structure consists of integers and addresses, for which zero is a value.
        let mut action: libc::sigaction = unsafe { zeroed() };
        // SAFETY: `action` is writable. The C library refuses the two signals that it keeps for itself.
        if unsafe { libc::sigaction(signal, null(), &raw mut action) } != 0 {
            continue;
        }
        let inherited = action.sa_sigaction == libc::SIG_DFL || action.sa_sigaction == libc::SIG_IGN;
        if !inherited || signal == libc::SIGPIPE {
            action.sa_sigaction = libc::SIG_DFL;
            action.sa_flags = 0;
            // SAFETY: the default handler needs nothing.
            unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
        }
    }
}

fn no_signals() -> libc::sigset_t {
    // SAFETY: the set consists of integers.
    let mut none = unsafe { zeroed() };
    // SAFETY: `none` is writable.
    unsafe { libc::sigemptyset(&raw mut none) };
    none
}

/// Blocks these signals and no others in the current thread.
fn mask(signals: &libc::sigset_t) {
    // SAFETY: it is a signal set; with a known first argument the call cannot fail.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::from_ref(signals), std::ptr::null_mut()) };
}

/// Every entry of gotrace's own environment, as it is.
fn own_environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: nothing in gotrace changes the environment.
    let mut next = unsafe { environ };
    while !next.is_null() {
        // SAFETY: the strings' addresses, with null behind the last.
        let entry = unsafe { *next };
        if entry.is_null() {
            break;
        }
        // SAFETY: zero-terminated.
        entries.push(unsafe { CStr::from_ptr(entry) }.to_owned());
        next = next.wrapping_add(1);
    }
    entries
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}
