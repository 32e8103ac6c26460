//! One traced run of a command: probes in place, program released, records drained, probes gone.

use std::path::Path;
use std::process::{Child, ExitStatus};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use aya::maps::{Array, MapData};
use aya_log::EbpfLogger;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior};
use tracer_ebpf::config::{Config, GoConfig, WatchConfig};
use tracer_ebpf::main_thread::{self, MainThread};

use super::ready::Readiness;
use super::signals::{Signal, Signals};
use crate::event::{self, Account, Event};
use crate::model::ReadyWhen;
use crate::probe::attach::{Attached, Scope};
use crate::probe::kernel_offset_of;
use crate::probe::load::{LoadOptions, Loaded, MainThreadWords};
use crate::probe::plan::PlannedSite;
use crate::stream::{ProbeLoss, RawRecord, Reader, read_losses};
use crate::target::gobin::{GoBinary, RuntimeLayout, wait_reason};
use crate::target::launch::{ExecStamp, Gated};
use crate::target::pid_namespace;
use crate::units::{Nanos, boot_clock};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// How often the ring buffer is drained. At the default size it takes 25 000 inits in between.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// How long an interrupted program has to end by itself before the report is made without its end.
const GRACE: Duration = Duration::from_millis(200);

/// When to end the tracing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// When `main.main` begins.
    Main,
    /// When the program is ready.
    Ready,
    /// When the program ends.
    Exit,
    /// After that time.
    Elapsed(Duration),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "main" => Ok(Self::Main),
            "ready" => Ok(Self::Ready),
            "exit" => Ok(Self::Exit),
            _ => humantime::parse_duration(text)
                .map(Self::Elapsed)
                .map_err(|_| "main, ready, exit, or a time such as 500ms or 30s is needed".to_owned()),
        }
    }
}

/// How to trace.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) ring_bytes: u32,
    pub(super) kernel_log: bool,
    pub(super) until: Until,
    pub(super) ready_when: ReadyWhen,
    /// From how long on a wait of the main thread is told by itself.
    pub(super) slow_wait: Duration,
}

/// Everything is in place; the program has not begun.
pub(super) struct Session {
    gated: Gated,
    attached: Attached,
    kernel: KernelSide,
    until: Until,
    ready_when: ReadyWhen,
}

/// What the kernel side writes to.
struct KernelSide {
    reader: Reader,
    counters: Array<MapData, [u64; 2]>,
    main_thread: Array<MapData, MainThreadWords>,
    log: Option<EbpfLogger<&'static dyn log::Log>>,
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
    /// The main thread's account at the end, unless `main.main` was reached.
    pub(super) closing: Option<Account>,
    /// When the program was ready.
    pub(super) ready: Option<Nanos>,
    program: Program,
}

/// The program, watched by a thread of its own until it ends.
struct Program {
    exits: UnboundedReceiver<std::io::Result<ExitStatus>>,
    status: Option<ExitStatus>,
    signals: Signals,
}

impl Session {
    /// Loads the programs and arms the sites for the gated child. On failure the child never runs.
    pub(super) fn prepare(
        binary: &GoBinary,
        sites: &[PlannedSite],
        gated: Gated,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let (attached, kernel) = arm(binary, sites, gated.pid(), options)?;
        let (until, ready_when) = (options.until, options.ready_when.clone());
        Ok(Self { gated, attached, kernel, until, ready_when })
    }

    /// Releases the program and follows it to the end of the trace; the probes are gone when this returns.
    pub(super) fn run(self, path: &Path) -> anyhow::Result<Trace> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(self.follow(path))
    }

    async fn follow(self, path: &Path) -> anyhow::Result<Trace> {
        let Self { gated, mut attached, mut kernel, until, ready_when } = self;
        let pid = gated.pid();
        // From here on a signal to gotrace is one to the program.
        let signals = Signals::forward_to(pid)?;
        let (child, stamp) = gated.release().map_err(|error| {
            super::exit::TargetRefused(format!("cannot execute {}: {error}", path.display()))
        })?;
        let mut program = Program { exits: watch(child)?, status: None, signals };

        let mut readiness = Readiness::watch(ready_when)?;
        let mut events = Events::default();
        let gone =
            kernel.drain_until(until, &mut attached, &mut program, &mut readiness, &mut events).await?;
        kernel.drain(&mut events);
        let closing = kernel.closing_account(gone);
        let method = attached.method;
        let end = boot_clock();
        let detached = attached.detach();
        tracing::info!("detached in {:.1} ms ({method:?})", detached.as_secs_f64() * 1e3);
        // A probe may have been running while the sites were disarmed.
        kernel.drain(&mut events);
        let losses = read_losses(&kernel.counters).context("cannot read the loss counters")?;
        readiness.note(&events.known);
        let ready = readiness.ready();
        let Events { known: events, undecodable } = events;
        Ok(Trace { pid, stamp, events, undecodable, losses, end, gone, closing, ready, program })
    }
}

/// What came out of the ring so far.
#[derive(Default)]
struct Events {
    known: Vec<Event>,
    undecodable: u64,
}

fn arm(
    binary: &GoBinary,
    sites: &[PlannedSite],
    pid: u32,
    options: &Options,
) -> anyhow::Result<(Attached, KernelSide)> {
    let namespace = pid_namespace::current()?;
    let mut go = go_config(binary, options.slow_wait);
    go.tell_writes = u32::from(matches!(options.ready_when, ReadyWhen::Log(_)));
    let config = Config {
        pid_namespace_device: namespace.map_or(0, |namespace| namespace.device),
        pid_namespace_inode: namespace.map_or(0, |namespace| namespace.inode),
        tgid: pid,
        task_faults: task_faults(),
    };
    let load = LoadOptions {
        config,
        go,
        watch: WatchConfig::default(),
        ring_bytes: options.ring_bytes,
        kernel_log: options.kernel_log,
    };
    let mut loaded = Loaded::load(&load)?;
    let log = if options.kernel_log { Some(loaded.take_log()?) } else { None };
    let reader = Reader::new(loaded.take_events()?);
    let counters = loaded.take_counters()?;
    let main_thread = loaded.take_main_thread()?;
    let attached = loaded.attach(binary.file(), sites, Scope::Process(pid))?;
    Ok((attached, KernelSide { reader, counters, main_thread, log }))
}

/// Page faults are counted only where the kernel tells where it counts them.
fn task_faults() -> u32 {
    match kernel_offset_of("task_struct", "min_flt") {
        Ok(offset) => offset.unwrap_or(0),
        Err(error) => {
            tracing::warn!("page faults are not counted: the kernel's type information: {error}");
            0
        }
    }
}

/// What the kernel side is to know of the runtime; nothing of one whose layout is not known.
fn go_config(binary: &GoBinary, slow_wait: Duration) -> GoConfig {
    let slow_wait = u64::try_from(slow_wait.as_nanos()).unwrap_or(u64::MAX);
    let Some(RuntimeLayout { g, .. }) = RuntimeLayout::of(binary.version()) else {
        tracing::warn!(
            "waits of goroutines are not told apart: the layout of {}'s g is not known",
            binary.version()
        );
        return GoConfig { slow_wait, ..GoConfig::default() };
    };
    let bits = |is_meant: fn(&str) -> bool| {
        (0..64)
            .filter(|number| wait_reason(binary.version(), *number).is_some_and(is_meant))
            .fold(0, |bits, number| bits | 1 << number)
    };
    GoConfig {
        network_reasons: bits(|reason| reason == "IO wait"),
        sleep_reasons: bits(|reason| reason == "sleep"),
        gc_reasons: bits(|reason| {
            [
                "GC assist",
                "garbage collection",
                "GC mark termination",
                "wait for GC cycle",
                "stopping the world",
            ]
            .iter()
            .any(|start| reason.starts_with(start))
        }),
        slow_wait,
        g_atomicstatus: g.atomicstatus,
        g_waitreason: g.waitreason,
        g_sched_pc: g.sched_pc,
        g_sched_bp: g.sched_bp,
        g_goid: g.goid,
        g_gopc: g.gopc,
        reserved: 0,
        tell_writes: 0,
    }
}

impl KernelSide {
    /// Empties the ring and the log. Returns how many events came.
    fn drain(&mut self, events: &mut Events) -> usize {
        if let Some(log) = &mut self.log {
            log.flush();
        }
        let mut records = Vec::new();
        self.reader.drain(&mut records);
        let before = events.known.len();
        for RawRecord(bytes) in records {
            match event::decode(&bytes) {
                Ok(event) => events.known.push(event),
                Err(error) => {
                    tracing::warn!("{error}");
                    events.undecodable += 1;
                }
            }
        }
        events.known.len() - before
    }

    /// Where the main thread's time had gone when it was last looked at, or until now while it lives.
    fn closing_account(&self, gone: Option<Nanos>) -> Option<Account> {
        let words = self.main_thread.get(&0, 0).ok()?;
        let main = MainThread::read_from_bytes(words.as_bytes()).ok()?;
        if main.task == 0 || main.over != 0 {
            return None;
        }
        let mut account = main.account;
        if gone.is_none() {
            let since = boot_clock().since(Nanos(main.since)).0;
            match main.state {
                main_thread::ON_CPU => account.on_cpu += since,
                main_thread::RUNNABLE => account.runnable += since,
                _ => {
                    if let Some(sum) =
                        usize::try_from(main.wait.kind).ok().and_then(|kind| account.blocked.get_mut(kind))
                    {
                        *sum += since;
                    }
                }
            }
        }
        // They are not kept but read, by the thread itself.
        (account.minor_faults, account.major_faults) = (u64::MAX, u64::MAX);
        Some(account)
    }

    /// Drains until the trace is to end. Returns when the program was seen to be gone.
    async fn drain_until(
        &mut self,
        until: Until,
        attached: &mut Attached,
        program: &mut Program,
        readiness: &mut Readiness,
        events: &mut Events,
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
                    let new = self.drain(events);
                    let new = &events.known[events.known.len() - new..];
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
                status = program.exits.recv() => {
                    program.status = status.transpose().context("cannot wait for the program")?;
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
}

async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn watch(mut child: Child) -> anyhow::Result<UnboundedReceiver<std::io::Result<ExitStatus>>> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    std::thread::Builder::new().name("wait".to_owned()).spawn(move || {
        let _ = sender.send(child.wait());
    })?;
    Ok(receiver)
}

impl Trace {
    /// How the program ended, when it did during the trace.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        self.program.status
    }

    /// Waits for the program's end and tells how it came.
    pub(super) fn wait(mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.program.status {
            return Ok(status);
        }
        let status = self.program.exits.blocking_recv();
        status.context("the program's end was not seen")?.context("cannot wait for the program")
    }
}
