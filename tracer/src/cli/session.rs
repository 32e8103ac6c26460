//! One traced run of a command: probes in place, program released, records drained, probes gone.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::oneshot::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior};
use tracer_ebpf::config::{Config, HeapConfig};

use super::collection::{Collected, Collection, Plan};
use super::exit::TargetRefused;
use super::kernel_config::{go_config, task_faults};
use super::kernel_side::{Closing, KernelSide};
use super::ready::Readiness;
use super::recorder::Recorder;
use super::ring::DRAIN_INTERVAL;
use super::signals::{Signal, Signals};
use super::until::Until;
use crate::event::Event;
use crate::model::ReadyWhen;
use crate::probe::Gc;
use crate::probe::attach::Attached;
use crate::probe::load::{LoadOptions, Loaded, config_of};
use crate::probe::plan::PlannedSite;
use crate::stream::ProbeLoss;
use crate::target::cgroup::throttled;
use crate::target::gobin::GoBinary;
use crate::target::launch::{ExecStamp, Gated, NoEnd, Released};
use crate::target::pid_namespace;
use crate::units::{Nanos, boot_clock};

/// How long an interrupted program has to end by itself before the report is made without its end.
const GRACE: Duration = Duration::from_millis(200);

/// How to trace.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) ring_bytes: u32,
    pub(super) kernel_log: bool,
    pub(super) until: Until,
    pub(super) ready_when: ReadyWhen,
    /// From how long on a wait of the main thread is told by itself.
    pub(super) slow_wait: Duration,
    /// Where to see what the program allocates; all zeroes when nobody asks.
    pub(super) heap: HeapConfig,
}

/// Everything is in place; the program has not begun.
pub(super) struct Session<'a> {
    binary: &'a GoBinary,
    gated: Gated,
    attached: Attached,
    kernel: KernelSide,
    collection: Option<Collection>,
    until: Until,
    ready_when: ReadyWhen,
}

/// What a run gave.
pub(super) struct Trace {
    pub(super) pid: u32,
    pub(super) stamp: ExecStamp,
    pub(super) events: Vec<Event>,
    pub(super) undecodable: u64,
    pub(super) losses: Vec<ProbeLoss>,
    /// When gotrace stopped looking.
    pub(super) end: Nanos,
    /// When the program was seen to be gone.
    pub(super) gone: Option<Nanos>,
    /// Where the main thread was at the end, unless `main.main` was reached.
    pub(super) closing: Option<Closing>,
    /// How long a CPU limit held it back.
    pub(super) throttled: Option<Nanos>,
    /// When the program was ready.
    pub(super) ready: Option<Nanos>,
    /// What the garbage collector did.
    pub(super) collected: Option<Collected>,
    program: Program,
}

/// The program, watched by a thread of its own until it ends.
struct Program {
    child: Released,
    path: PathBuf,
    status: Option<ExitStatus>,
    signals: Signals,
}

impl<'a> Session<'a> {
    /// Loads the programs and arms the sites for the gated child. On failure the child never runs.
    pub(super) fn prepare(
        binary: &'a GoBinary,
        sites: &[PlannedSite],
        gc: Option<Plan>,
        gated: Gated,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let room = gc.as_ref().map_or(Gc::NONE, |plan| plan.room(binary));
        let (mut attached, kernel) = arm(binary, sites, room, gated.pid(), options)?;
        let collection = gc.map(|plan| plan.arm(&mut attached, binary, gated.pid())).transpose()?;
        let (until, ready_when) = (options.until, options.ready_when.clone());
        Ok(Self { binary, gated, attached, kernel, collection, until, ready_when })
    }

    /// Releases the program and follows it to the end of the trace; the probes are gone when this returns.
    pub(super) fn run(self, path: &Path, recorder: &mut Recorder) -> anyhow::Result<Trace> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(self.follow(path, recorder))
    }

    async fn follow(self, path: &Path, recorder: &mut Recorder) -> anyhow::Result<Trace> {
        let Self { binary, gated, mut attached, mut kernel, collection, until, ready_when } = self;
        let pid = gated.pid();
        // From here on a signal to gotrace is one to the program.
        let signals = Signals::forward_to(pid)?;
        // What can be done before is, for the program's start to have the processors to itself.
        let throttled_before = throttled();
        let mut readiness = Readiness::watch(ready_when)?;
        let child = gated.release()?;
        let mut program = Program { child, path: path.to_owned(), status: None, signals };
        let mut seen = Seen { binary, recorder, events: Vec::new(), collection };
        let gone =
            drain_until(&mut kernel, until, &mut attached, &mut program, &mut readiness, &mut seen).await?;
        seen.drain(&mut kernel);
        let stamp = program.child.stamp().context("the program was never executed")?;
        let method = attached.method;
        let end = boot_clock();
        let closing = kernel.closing(gone, end);
        let throttled = throttled().zip(throttled_before).map(|(now, before)| now.since(before));
        let detached = attached.detach();
        tracing::info!("detached in {:.1} ms ({method:?})", detached.as_secs_f64() * 1e3);
        // A probe may have been running while the sites were disarmed.
        seen.drain(&mut kernel);
        let (losses, undecodable) = (kernel.ring.losses()?, kernel.decoder.undecodable);
        let Seen { events, collection, .. } = seen;
        readiness.note(&events);
        let ready = readiness.ready();
        let collected = collection.map(|collection| collection.collected);
        Ok(Trace {
            pid,
            stamp,
            events,
            undecodable,
            losses,
            end,
            gone,
            closing,
            throttled,
            ready,
            collected,
            program,
        })
    }
}

/// What has come so far.
struct Seen<'a> {
    binary: &'a GoBinary,
    recorder: &'a mut Recorder,
    events: Vec<Event>,
    collection: Option<Collection>,
}

impl Seen<'_> {
    /// Takes what the ring holds, and returns it.
    fn drain(&mut self, kernel: &mut KernelSide) -> &[Event] {
        let before = self.events.len();
        let records = kernel.ring.take();
        self.recorder.ring(&records);
        self.events.extend(records.iter().filter_map(|record| kernel.decoder.decode(record)));
        let new = self.events.get(before..).unwrap_or_default();
        if let Some(collection) = &mut self.collection {
            collection.note(new, self.binary, self.recorder);
        }
        new
    }
}

/// What the kernel side is to look at: the process of that id in gotrace's own namespace, and its page faults.
pub(super) fn start_config(pid: u32) -> io::Result<Config> {
    Ok(Config { task_faults: task_faults(), ..config_of(pid, pid_namespace::current()?) })
}

fn arm(
    binary: &GoBinary,
    sites: &[PlannedSite],
    gc: Gc,
    pid: u32,
    options: &Options,
) -> anyhow::Result<(Attached, KernelSide)> {
    let mut go = go_config(binary, options.slow_wait);
    go.tell_writes = u32::from(matches!(options.ready_when, ReadyWhen::Log(_)));
    let config = start_config(pid)?;
    let Options { heap, ring_bytes, kernel_log, .. } = *options;
    let load = LoadOptions { go, heap, gc, ring_bytes, kernel_log, ..LoadOptions::of_start(config) };
    let mut loaded = Loaded::load(&load)?;
    let kernel = KernelSide::of(&mut loaded, options.kernel_log)?;
    let attached = loaded.attach(binary.file(), sites, pid)?;
    Ok((attached, kernel))
}

/// Drains until the trace is to end. Returns when the program was seen to be gone.
async fn drain_until(
    kernel: &mut KernelSide,
    until: Until,
    attached: &mut Attached,
    program: &mut Program,
    readiness: &mut Readiness,
    seen: &mut Seen<'_>,
) -> anyhow::Result<Option<Nanos>> {
    // Not at once: the program's start has the processors to itself.
    let mut ticks = tokio::time::interval_at(Instant::now() + DRAIN_INTERVAL, DRAIN_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deadline = match until {
        Until::Elapsed(limit) => Instant::now().checked_add(limit),
        Until::Main | Until::Ready | Until::Exit => None,
    };
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let new = seen.drain(kernel);
                readiness.note(new);
                let has_begun = new.iter().any(Event::is_main);
                let over = match until {
                    Until::Main => has_begun,
                    Until::Ready => readiness.ready().is_some(),
                    Until::Exit | Until::Elapsed(_) => false,
                };
                if over {
                    return Ok(None);
                }
                if has_begun {
                    attached.end_startup()?;
                }
            }
            end = &mut program.child.end => {
                program.status = Some(Program::ended(&program.path, end)?);
                return Ok(Some(boot_clock()));
            }
            signal = program.signals.next() => {
                if signal == Signal::Interrupt {
                    deadline = Some(Instant::now() + GRACE);
                }
            }
            () = expired(deadline) => return Ok(None),
        }
    }
}

async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Program {
    /// What the thread that waited for it says.
    fn ended(path: &Path, end: Result<Result<ExitStatus, NoEnd>, RecvError>) -> anyhow::Result<ExitStatus> {
        match end.context("the program's end was not seen")? {
            Err(NoEnd::NotExecuted(error)) => {
                Err(TargetRefused(format!("cannot execute {}: {error}", path.display())).into())
            }
            end => Ok(end?),
        }
    }
}

impl Trace {
    /// How the program ended, when it did during the trace.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        self.program.status
    }

    /// Waits for the program's end and tells how it came.
    pub(super) fn wait(self) -> anyhow::Result<ExitStatus> {
        let Program { child, path, status, .. } = self.program;
        status.map_or_else(|| Program::ended(&path, child.end.blocking_recv()), Ok)
    }
}
