//! Signals pass through gotrace to the program, as if gotrace were not there.

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::raw::WithRawSiginfo;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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

impl Signals {
    /// From now on passes signals on to the process. A second interrupt ends gotrace at once; the kernel
    /// then removes the probes.
    pub(super) fn forward_to(pid: u32) -> io::Result<Self> {
        let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        let (sender, received) = unbounded_channel();
        let signals =
            SignalsInfo::<WithRawSiginfo>::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || forward(signals, pid, &sender))?;
        Ok(Self { received })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        match self.received.recv().await {
            Some(signal) => signal,
            // The thread runs as long as gotrace does.
            None => std::future::pending().await,
        }
    }
}

fn forward(mut signals: SignalsInfo<WithRawSiginfo>, pid: libc::pid_t, sender: &UnboundedSender<Signal>) {
    let mut interrupted = false;
    for info in &mut signals {
        // The terminal sends Ctrl-C and the like to the whole process group: the program has its own already.
        if info.si_code != libc::SI_KERNEL {
            // SAFETY: the call has no preconditions. The program is gotrace's own child: its id is not
            // reused before gotrace has waited for it, and after that gotrace is about to end.
            unsafe { libc::kill(pid, info.si_signo) };
        }
        if info.si_signo == SIGINT && std::mem::replace(&mut interrupted, true) {
            std::process::exit(130);
        }
        let signal = if info.si_signo == SIGINT { Signal::Interrupt } else { Signal::Other };
        if sender.send(signal).is_err() {
            // Nobody asks any more; the program still gets its signals.
            tracing::debug!("signal {} after the trace", info.si_signo);
        }
    }
}
