//! Signals pass through gotrace to the program, as if gotrace were not there.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::raw::WithRawSiginfo;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::target::pidfd::pidfd_of;

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Ctrl-C: the user has seen enough.
    Interrupt,
    /// Any other, of no meaning to gotrace itself.
    Other,
}

/// The signals that came, as they come.
pub(super) struct Signals {
    received: UnboundedReceiver<Signal>,
}

/// Handlers are the process's, so this is too: set up once, aimed at one program after the other.
static SIGNALS: OnceLock<()> = OnceLock::new();
static PROGRAM: Mutex<Option<Program>> = Mutex::new(None);
static ENDING: AtomicBool = AtomicBool::new(false);

struct Program {
    /// It stays the program's when that is gone, whoever has its process id then.
    pidfd: OwnedFd,
    pid: u32,
    sender: UnboundedSender<Signal>,
}

/// Whether a signal came that ends programs: after this one, gotrace shall start no other.
pub(super) fn ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// Sends a signal to the program that gotrace started, and to none when it is gone.
pub(super) fn send(pid: u32, signal: libc::c_int) {
    if let Some(program) = program().as_ref().filter(|program| program.pid == pid) {
        program.send(signal);
    }
}

impl Signals {
    /// From now on passes signals on to the process, a child of gotrace that has not run yet, and to no other.
    /// A second interrupt ends gotrace at once; the kernel then removes the probes.
    ///
    /// Fails when a signal has come that ends programs: this one must not begin.
    pub(super) fn forward_to(pid: u32) -> io::Result<Self> {
        let (sender, received) = unbounded_channel();
        *program() = Some(Program { pidfd: pidfd_of(pid)?, pid, sender });
        if SIGNALS.get().is_none() {
            let signals =
                SignalsInfo::<WithRawSiginfo>::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])?;
            std::thread::Builder::new().name("signals".to_owned()).spawn(move || forward(signals))?;
            let _ = SIGNALS.set(());
        }
        if ending() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "a signal came before the program began"));
        }
        Ok(Self { received })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        match self.received.recv().await {
            Some(signal) => signal,
            // The sender lasts until another program takes this one's place.
            None => std::future::pending().await,
        }
    }
}

impl Program {
    fn send(&self, signal: libc::c_int) {
        let (info, flags) = (std::ptr::null::<libc::siginfo_t>(), 0);
        // SAFETY: the call reads nothing through `info` when it is null.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.pidfd.as_raw_fd(), signal, info, flags) };
    }
}

fn program() -> MutexGuard<'static, Option<Program>> {
    PROGRAM.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forward(mut signals: SignalsInfo<WithRawSiginfo>) {
    let mut interrupted = false;
    for info in &mut signals {
        if !matches!(info.si_signo, SIGUSR1 | SIGUSR2) {
            ENDING.store(true, Ordering::SeqCst);
        }
        let program = program();
        // The terminal sends Ctrl-C and the like to the whole process group: the program has its own already.
        if info.si_code != libc::SI_KERNEL
            && let Some(program) = &*program
        {
            program.send(info.si_signo);
        }
        if info.si_signo == SIGINT && std::mem::replace(&mut interrupted, true) {
            std::process::exit(130);
        }
        let signal = if info.si_signo == SIGINT { Signal::Interrupt } else { Signal::Other };
        if program.as_ref().is_none_or(|program| program.sender.send(signal).is_err()) {
            // Nobody asks any more; the program still gets its signals.
            tracing::debug!("signal {} after the trace", info.si_signo);
        }
    }
}
