//! Watches for the program to become ready: by its events or, where nothing in it tells, from outside.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::event::Event;
use crate::model::ReadyWhen;
use crate::units::{Nanos, boot_clock};

/// How often a file or an URL is tried. What is seen there is up to this much older.
const INTERVAL: Duration = Duration::from_millis(10);

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A condition, and whether it was met.
pub(super) struct Readiness {
    when: ReadyWhen,
    /// When an event met it.
    met: Option<Nanos>,
    /// When `main.main` began.
    main: Option<Nanos>,
    /// When it was seen to be met from outside.
    seen: Arc<OnceLock<Nanos>>,
    /// Ends the thread that looks from outside, by its drop.
    _stop: Sender<()>,
}

impl Readiness {
    /// Begins to watch.
    pub(super) fn watch(when: ReadyWhen) -> std::io::Result<Self> {
        let seen = Arc::new(OnceLock::new());
        let (stop, stopped) = channel();
        let outside: Option<Box<dyn Fn() -> bool + Send>> = match &when {
            ReadyWhen::File(path) => {
                let path = path.clone();
                Some(Box::new(move || path.exists()))
            }
            ReadyWhen::Http(url) => {
                let url = url.clone();
                let agent: ureq::Agent =
                    ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
                Some(Box::new(move || agent.get(&url).call().is_ok()))
            }
            ReadyWhen::Listen | ReadyWhen::Accept | ReadyWhen::Log(_) => None,
        };
        if let Some(is_met) = outside {
            let seen = Arc::clone(&seen);
            std::thread::Builder::new()
                .name("ready".to_owned())
                .spawn(move || poll(&*is_met, &seen, &stopped))?;
        }
        Ok(Self { when, met: None, main: None, seen, _stop: stop })
    }

    /// Takes note of new events.
    pub(super) fn note(&mut self, new: &[Event]) {
        for event in new {
            if self.met.is_none() && self.when.is_met_by(event) {
                self.met = Some(event.time);
            }
            if self.main.is_none() && event.is_main() {
                self.main = Some(event.time);
            }
        }
    }

    /// When the program was ready, if it is. A socket that listens before `main.main` has begun is an init's own
    /// affair until then.
    pub(super) fn ready(&self) -> Option<Nanos> {
        match self.when {
            ReadyWhen::Listen | ReadyWhen::Accept => Some(self.met?.max(self.main?)),
            ReadyWhen::Log(_) => self.met,
            ReadyWhen::File(_) | ReadyWhen::Http(_) => self.seen.get().copied(),
        }
    }
}

fn poll(is_met: &dyn Fn() -> bool, seen: &OnceLock<Nanos>, stopped: &Receiver<()>) {
    loop {
        if is_met() {
            let _ = seen.set(boot_clock());
            return;
        }
        if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
