//! What happens while a program is followed: its end, the user's, or a report that is due.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::super::ring::DRAIN_INTERVAL;
use super::live::Live;
use crate::target::pidfd::pidfd_of;
use crate::target::process::Process;

/// How often a terminal is drawn anew.
const SCREEN_INTERVAL: Duration = Duration::from_secs(1);

/// So many ticks have to bring nothing before it is slept until something comes: a second.
const TICKS_BEFORE_REST: u32 = 50;

/// For so long at most: what else is to be looked at waits for that.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Why the following ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The time was over.
    Elapsed,
    /// The user has seen enough.
    Interrupted,
    /// The program has ended.
    Gone,
    /// The process became another program, of this name.
    Replaced(String),
}

/// What happened while the program was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// A report of what is known so far is wanted.
    Report,
    /// What is known so far is to be made sure of, in the capture.
    Checkpoint,
    /// It is time to draw the screen anew.
    Screen,
    /// It is over.
    End(Ended),
}

/// What ends the following, or asks for a report in between.
pub(super) struct Moments {
    ticks: Interval,
    /// How many ticks in a row have brought nothing.
    idle_ticks: u32,
    /// Whether it is slept until a record comes.
    rests: bool,
    woken: AsyncFd<OwnedFd>,
    reports: Option<Interval>,
    screens: Option<Interval>,
    deadline: Option<Instant>,
    gone: AsyncFd<OwnedFd>,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    ask: Signal,
}

impl Moments {
    /// Of that process; inside a runtime.
    pub(super) fn of(
        process: &Process,
        live: &Live<'_>,
        duration: Option<Duration>,
        interval: Option<Duration>,
        has_screen: bool,
    ) -> anyhow::Result<Self> {
        let now = Instant::now();
        let every = |period| {
            let mut interval = tokio::time::interval_at(now + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Ok(Self {
            ticks: every(DRAIN_INTERVAL),
            idle_ticks: 0,
            rests: false,
            // SAFETY: it owns the descriptor, which stays open and the same as long as it is registered.
            woken: unsafe { AsyncFd::register(live.woken()?) }?,
            reports: interval.map(every),
            screens: has_screen.then(|| every(SCREEN_INTERVAL)),
            deadline: duration.and_then(|duration| now.checked_add(duration)),
            // SAFETY: it owns the descriptor, which stays open and the same as long as it is registered.
            gone: unsafe { AsyncFd::register(pidfd_of(process.pid)?) }?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            ask: signal(SignalKind::user_defined1())?,
        })
    }

    /// Takes what has come; when nothing has for long, has the kernel side tell when there is something.
    fn look(&mut self, live: &mut Live<'_>) -> anyhow::Result<()> {
        let taken = live.drain();
        live.govern()?;
        self.idle_ticks = if taken == 0 { self.idle_ticks.saturating_add(1) } else { 0 };
        self.rests = self.idle_ticks >= TICKS_BEFORE_REST && live.may_rest() && live.rest()?;
        Ok(())
    }

    /// The next one; drains the ring in the meantime.
    pub(super) async fn next(&mut self, live: &mut Live<'_>) -> anyhow::Result<Moment> {
        loop {
            if let Some(comm) = live.replaced.take() {
                return Ok(Moment::End(Ended::Replaced(comm)));
            }
            tokio::select! {
                _ = self.ticks.tick(), if !self.rests => {
                    self.look(live)?;
                    if live.capture.is_due() {
                        return Ok(Moment::Checkpoint);
                    }
                }
                ready = self.woken.readable(), if self.rests => {
                    ready.context("cannot wait for records")?.clear_ready();
                    self.rests = false;
                }
                () = tokio::time::sleep(LONGEST_REST), if self.rests => self.rests = false,
                () = next_of(&mut self.reports) => return Ok(Moment::Report),
                () = next_of(&mut self.screens) => return Ok(Moment::Screen),
                _ = self.ask.recv() => return Ok(Moment::Report),
                () = expired(self.deadline) => return Ok(Moment::End(Ended::Elapsed)),
                _ = self.interrupt.recv() => return Ok(Moment::End(Ended::Interrupted)),
                _ = self.terminate.recv() => return Ok(Moment::End(Ended::Interrupted)),
                _ = self.hangup.recv() => return Ok(Moment::End(Ended::Interrupted)),
                ready = self.gone.readable() => {
                    let _ends = ready.context("cannot wait for the process")?;
                    return Ok(Moment::End(Ended::Gone));
                }
            }
        }
    }
}

async fn next_of(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
