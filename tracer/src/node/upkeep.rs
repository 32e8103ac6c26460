//! What is done once a second.

use std::time::{Duration, Instant};

use super::agent::Session;
use super::looker::Question;
use super::programs::Watched;
use super::registry::Running;
use super::state::State;
use crate::target::process::Process;
use crate::units::{Nanos, boot_clock};

/// What processes have is not asked more often.
const USAGE_INTERVAL: Duration = Duration::from_secs(5);

/// A process that began so long ago and runs is in the table of them, if it is one to look at.
const ENTERED: Nanos = Nanos(60_000_000_000);

impl Session {
    /// What is done about once a second. While nothing happens it is next to nothing: an idle machine's agent is idle.
    pub fn tick(&mut self) {
        let stirred = std::mem::take(&mut self.stirred) || self.state.lock().scraped;
        self.forget_claims();
        self.look_around();
        // Before anything else that is asked every time.
        self.ask_usage();
        self.ask_files();
        self.keep_budget();
        let mut state = self.state.lock();
        if let Err(error) = state.registry.reap() {
            tracing::warn!("cannot ask which processes have ended: {error}");
        }
        let State { starts, registry, .. } = &mut *state;
        if let Some(starts) = starts {
            starts.retain(Nanos(boot_clock().0.saturating_sub(ENTERED.0)), |pid| registry.has(pid));
        }
        drop(state);
        if stirred {
            self.account();
        }
    }

    /// What was lost, and what keeps the agent from its work.
    fn account(&mut self) {
        let losses = self.kernel.losses();
        let resident = Process::of_pid(std::process::id()).ok().and_then(|own| own.resident()).unwrap_or(0);
        self.refusing = resident > self.limits.memory;
        let mut state = self.state.lock();
        match losses {
            Ok(losses) => state.losses = losses,
            Err(error) => tracing::warn!("{error}"),
        }
        (state.stray, state.under_way) =
            (self.starts.stray + self.kernel.undecodable(), self.starts.under_way());
        let blind = "so many executables do not answer that no further one is looked at".to_owned();
        let large = format!("{resident} bytes of memory: no further binary is watched");
        for (reason, holds, why) in
            [("blind", self.looker.is_blind(), blind), ("memory", self.refusing, large)]
        {
            if !holds {
                state.reasons.remove(reason);
            } else if state.reasons.insert(reason, why.clone()).is_none() {
                tracing::warn!("{why}");
            }
        }
    }

    /// Asks whether the watched files are what they were.
    fn ask_files(&mut self) {
        let of = |(number, watched): (u64, &Watched)| (number, watched.program.clone(), watched.stamp);
        let files: Vec<_> = self.programs.iter().map(of).collect();
        if !files.is_empty() && self.looker.waiting() == 0 {
            self.looker.ask(Question::Files(files));
        }
    }

    /// Asks what processes have, when somebody wanted to know since, and not more often than every five seconds.
    fn ask_usage(&mut self) {
        if self.asked_usage.is_some_and(|last| last.elapsed() < USAGE_INTERVAL) || self.looker.waiting() > 0 {
            return;
        }
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.scraped) {
            return;
        }
        let of = |running: &Running| (running.process.clone(), running.program.clone());
        let running: Vec<_> = state.registry.iter().map(of).collect();
        drop(state);
        self.asked_usage = Some(Instant::now());
        if !running.is_empty() {
            self.looker.ask(Question::Usage(running));
        }
    }

    /// Forgets which starts were seen long ago.
    fn forget_claims(&mut self) {
        let now = boot_clock();
        self.claimed.retain(|_, time| now.since(*time) < Nanos(10_000_000_000));
    }
}
