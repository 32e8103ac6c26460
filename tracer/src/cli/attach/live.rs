//! Following a running program: its system calls are summed up in the kernel, the slow ones come one by one.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tracer_ebpf::config::{Config, GoConfig, HeapConfig, WatchConfig};

use super::super::ring::{DRAIN_INTERVAL, Ring};
use crate::event::{Event, EventKind, blocking::Slow};
use crate::probe::attach::Attached;
use crate::probe::load::{BlockingMaps, LoadOptions, Loaded};
use crate::probe::{Blocking, Parking, blocking_config, file_config};
use crate::stream::{ProbeLoss, Tables};
use crate::target::gobin::GoBinary;
use crate::target::pid_namespace;
use crate::target::pidfd::pidfd_of;
use crate::target::process::Process;
use crate::units::{Nanos, boot_clock};

/// So many slow calls are kept one by one; what comes after is only in the sums, and counted.
const MOST_SLOW: usize = 1 << 17;

/// Below this a call is summed up without its stack, which costs more than the call.
const STACK_FROM: Nanos = Nanos(20_000);

/// Room in the kernel: 600 bytes a sum, 100 a thread, 64 a wait, 1 kB a stack.
const MOST_SUMS: u32 = 1 << 13;
const MOST_THREADS: u32 = 1 << 14;
const MOST_WAITS: u32 = 1 << 16;
const MOST_SAMPLES: u32 = 1 << 13;
const MOST_STACKS: u32 = 1 << 14;

/// How to follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// What takes this long is told by itself.
    pub(super) slow: Duration,
    /// So many times a second it is looked at where the program runs, on every CPU; 0 for never.
    pub(super) frequency: u64,
    pub(super) ring_bytes: u32,
    pub(super) kernel_log: bool,
}

/// The probes, armed, and what they have told so far.
pub(super) struct Live {
    attached: Attached,
    maps: BlockingMaps,
    ring: Ring,
    log: Option<EbpfLogger<&'static dyn log::Log>>,
    /// When the last probe was armed.
    pub(super) since: Nanos,
    /// The slow calls, as they ended.
    slow: Vec<(Nanos, u32, Slow)>,
    /// How many slow calls were not kept.
    not_kept: u64,
    /// Whether the process became another program.
    replaced: bool,
}

/// Why the following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The time was over.
    Elapsed,
    /// The user has seen enough.
    Interrupted,
    /// The program has ended.
    Gone,
    /// The process became another program.
    Replaced,
}

/// What happened while the program was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// A report of what is known so far is wanted.
    Report,
    /// It is over.
    End(Ended),
}

/// All that was told.
pub(super) struct Told<'a> {
    pub(super) tables: Tables,
    /// When it ended, on which thread, and what.
    pub(super) slow: &'a [(Nanos, u32, Slow)],
    pub(super) slow_not_kept: u64,
    pub(super) undecodable: u64,
    pub(super) losses: Vec<ProbeLoss>,
    /// The moment of the reading.
    pub(super) at: Nanos,
}

impl Live {
    /// Loads the programs and arms them for the process.
    pub(super) fn attach(process: &Process, binary: &GoBinary, options: &Options) -> anyhow::Result<Self> {
        let own = pid_namespace::current()?;
        let files = file_config().unwrap_or_else(|error| {
            tracing::warn!("descriptors are named late, by /proc: the kernel's type information: {error}");
            Default::default()
        });
        let slow = Nanos(u64::try_from(options.slow.as_nanos()).unwrap_or(u64::MAX));
        let target = process.pid_namespace()?.filter(|target| Some(*target) != own);
        let blocking = Blocking {
            config: blocking_config(binary, target, slow, STACK_FROM.min(slow)),
            files,
            most_sums: MOST_SUMS,
            most_threads: MOST_THREADS,
            most_waits: MOST_WAITS,
            most_samples: MOST_SAMPLES,
            most_stacks: MOST_STACKS,
        };
        let config = Config {
            pid_namespace_device: own.map_or(0, |namespace| namespace.device),
            pid_namespace_inode: own.map_or(0, |namespace| namespace.inode),
            tgid: process.pid,
            task_faults: 0,
        };
        let (go, heap, watch) = (GoConfig::default(), HeapConfig::default(), WatchConfig::default());
        let Options { ring_bytes, kernel_log, .. } = *options;
        let mut loaded =
            Loaded::load(&LoadOptions { config, go, heap, watch, blocking, parking: Parking::NONE, ring_bytes, kernel_log })?;
        let log = if kernel_log { Some(loaded.take_log()?) } else { None };
        let (ring, maps) = (Ring::of(&mut loaded)?, loaded.take_blocking()?);
        let attached = loaded.attach_blocking(options.frequency)?;
        Ok(Self {
            attached,
            maps,
            ring,
            log,
            since: boot_clock(),
            slow: Vec::new(),
            not_kept: 0,
            replaced: false,
        })
    }

    /// Takes what the ring holds.
    fn drain(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
        for Event { time, tid, kind } in self.ring.drain() {
            match kind {
                EventKind::Slow(slow) if self.slow.len() < MOST_SLOW => self.slow.push((time, tid, *slow)),
                EventKind::Slow(_) => self.not_kept += 1,
                EventKind::Exec { .. } => self.replaced = true,
                _ => {}
            }
        }
    }

    /// What is known by now.
    pub(super) fn told(&mut self) -> anyhow::Result<Told<'_>> {
        self.drain();
        let tables = Tables::read(&self.maps).context("cannot read the sums")?;
        Ok(Told {
            at: boot_clock(),
            tables,
            slow: &self.slow,
            slow_not_kept: self.not_kept,
            undecodable: self.ring.undecodable,
            losses: self.ring.losses()?,
        })
    }

    /// Disarms the probes. What they told stays readable.
    pub(super) fn detach(self) -> Duration {
        self.attached.detach()
    }
}

/// What ends the following, or asks for a report in between.
pub(super) struct Moments {
    ticks: Interval,
    reports: Option<Interval>,
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
        duration: Option<Duration>,
        interval: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let now = Instant::now();
        let every = |period| {
            let mut interval = tokio::time::interval_at(now + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Ok(Self {
            ticks: every(DRAIN_INTERVAL),
            reports: interval.map(every),
            deadline: duration.and_then(|duration| now.checked_add(duration)),
            // SAFETY: it owns the descriptor, which stays open and the same as long as it is registered.
            gone: unsafe { AsyncFd::register(pidfd_of(process.pid)?) }?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            ask: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next one; drains the ring in the meantime.
    pub(super) async fn next(&mut self, live: &mut Live) -> anyhow::Result<Moment> {
        loop {
            if live.replaced {
                return Ok(Moment::End(Ended::Replaced));
            }
            tokio::select! {
                _ = self.ticks.tick() => live.drain(),
                () = next_of(&mut self.reports) => return Ok(Moment::Report),
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
