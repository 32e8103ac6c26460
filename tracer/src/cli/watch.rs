//! `gotrace watch BINARY`: the startup of every new process of a binary, whoever starts it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use aya::maps::{Array, MapData};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracer_ebpf::config::{Config, GoConfig, HeapConfig, WatchConfig};

use super::exit::TargetRefused;
use super::run::{catalogue, kernel_release, missing_probe, ring_size, traceable};
use super::{Common, Exit};
use crate::event::{self, Event, EventKind};
use crate::export::{Export as _, InitOrder, Ndjson, Text};
use crate::model::{BinarySymbols, Ending, Observation, Report, SeenStart, Starts, StartupTimeline, Subject};
use crate::probe::Blocking;
use crate::probe::attach::Scope;
use crate::probe::load::{LoadOptions, Loaded};
use crate::probe::plan::{Detail, StartupPlan};
use crate::probe::{Probe, kernel_offset_of};
use crate::stream::{ProbeLoss, RawRecord, Reader, read_losses};
use crate::target::command;
use crate::target::gobin::GoBinary;
use crate::target::process::{Process, ProcessError};
use crate::units::{Nanos, boot_clock};
use crate::{doctor, files};

/// How often the ring buffer is drained.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// How many changes of what was dropped are remembered.
const SNAPSHOTS: usize = 256;

/// Show the startup of every new process of a Go program
///
/// For programs that something else starts: systemd, a container runtime, cron. The probes lie on the file, so
/// every process that begins to run it is seen, in containers too, until Ctrl-C; those that run already are not.
/// A process's startup is told when it comes to main.main, or to its end before that.
///
/// Times count from the end of the process's execve. A file that takes the binary's place later is another one:
/// watch it anew.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  sudo gotrace watch /usr/bin/server
  sudo gotrace watch -o starts.ndjson --count 10 /usr/bin/server && gotrace diff before.ndjson starts.ndjson

Exit codes: 0 after Ctrl-C or --count starts; 3 when gotrace cannot trace here, 4 when the program is not found
or no Go program that gotrace knows, 5 when data was lost.")]
pub(super) struct Args {
    /// Append every start to FILE, as NDJSON
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One JSON object a line on standard output instead of text
    #[arg(long)]
    json: bool,
    /// End after so many starts
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// How many inits to show in text; 0 for all
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// The size of the buffer between kernel and gotrace, in KiB: a power of two
    #[arg(long, value_name = "KIB", default_value_t = 8192, value_parser = ring_size)]
    ring_size: u32,
    /// Watch the program of the processes that have this name now, in a container too
    #[arg(long, value_name = "NAME", conflicts_with = "binary", required_unless_present = "binary")]
    name: Option<String>,
    /// The program to watch: a path, or a name that is looked for in PATH
    binary: Option<OsString>,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    let binary = binary(args)?;
    let path = binary.path().to_owned();
    let plan = traceable(&binary, Detail::Lean)?;
    doctor::fit(doctor::checks(&format!("gotrace watch {}", path.display())))?;
    let mut output = match &args.output {
        Some(path) => {
            Some(files::append_private(path).with_context(|| format!("cannot write {}", path.display()))?)
        }
        None => None,
    };
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The second one ends gotrace at once; the kernel then removes the probes.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&ended))?;
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }

    let mut loaded = Loaded::load(&LoadOptions {
        config: Config::default(),
        go: GoConfig::default(),
        heap: HeapConfig::default(),
        watch: watch_config(),
        blocking: Blocking::NONE,
        ring_bytes: args.ring_size * 1024,
        kernel_log: false,
    })?;
    let mut watch = Watch {
        reader: Reader::new(loaded.take_events()?),
        counters: loaded.take_counters()?,
        starts: Starts::default(),
        dropped: VecDeque::new(),
        undecodable: 0,
    };
    let attached = loaded.attach(binary.file(), &plan.sites, Scope::Starts)?;
    common.note(&format!("watching {} for new processes; Ctrl-C ends", path.display()));

    let mut told = 0;
    let mut tell = |started: &SeenStart, losses: Vec<ProbeLoss>, undecodable: u64| -> anyhow::Result<()> {
        let mut report = report(&binary, &plan, started);
        (report.losses, report.undecodable) = (losses, undecodable);
        told += 1;
        if let Some(file) = &mut output {
            let mut out = BufWriter::new(file);
            Ndjson.write(&report, &mut out).and_then(|()| out.flush()).context("cannot write the report")?;
        }
        show(&report, args)
    };
    // What was dropped before the first start: nothing.
    watch.losses()?;
    let mut unsure = 0_u64;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 && !ended.load(Ordering::SeqCst) {
        std::thread::sleep(DRAIN_INTERVAL);
        watch.losses()?;
        for started in watch.drain() {
            if !watch.is_sure(&started)? {
                unsure += 1;
            } else if left > 0 {
                let losses = watch.losses_of(&started)?;
                tell(&started, losses, std::mem::take(&mut watch.undecodable))?;
                left -= 1;
            }
        }
    }
    attached.detach();
    // A probe may have been running while the sites were disarmed.
    let mut rest = watch.drain();
    let stray = watch.starts.stray;
    rest.extend(std::mem::take(&mut watch.starts).into_rest());
    for started in rest.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        if watch.is_sure(&started)? {
            let losses = watch.losses_of(&started)?;
            tell(&started, losses, 0)?;
        } else {
            unsure += 1;
        }
    }
    let losses = read_losses(&watch.counters).context("cannot read the loss counters")?;
    let dropped: u64 = losses.iter().map(|loss| loss.dropped).sum();
    let hits: u64 = losses.iter().map(|loss| loss.hits).sum();
    common.note(&format!("{told} starts told, {unsure} left out because their main.main may be what was lost; {hits} probe hits, \
         {dropped} lost, {stray} of no known start"));
    Ok(if dropped + stray > 0 { Exit::Incomplete } else { Exit::Ok })
}

/// What the kernel side writes to, and what has come of it.
struct Watch {
    reader: Reader,
    counters: Array<MapData, [u64; 2]>,
    starts: Starts,
    /// How much had been dropped by when, by probe; a line for each time that it changed.
    dropped: VecDeque<(Nanos, Vec<u64>)>,
    undecodable: u64,
}

impl Watch {
    /// The starts that are over by now.
    fn drain(&mut self) -> Vec<SeenStart> {
        let mut records = Vec::new();
        self.reader.drain(&mut records);
        let mut over = Vec::new();
        for RawRecord(bytes) in records {
            match event::decode(&bytes) {
                Ok(event) => over.extend(self.starts.take(event)),
                Err(error) => {
                    tracing::warn!("{error}");
                    self.undecodable += 1;
                }
            }
        }
        over
    }

    /// A start's hits, and what was lost from its begin on: whose, nobody knows, so it counts for every start
    /// that was under way.
    fn losses_of(&mut self, seen: &SeenStart) -> anyhow::Result<Vec<ProbeLoss>> {
        let begin = seen.events.first().map_or(Nanos(0), |event| event.time);
        let mut losses = self.losses()?;
        let before = self.dropped.iter().rev().find(|(time, _)| *time <= begin).map(|(_, dropped)| dropped);
        for (index, loss) in losses.iter_mut().enumerate() {
            let before = before.and_then(|dropped| dropped.get(index)).copied().unwrap_or(0);
            let delivered = seen.events.iter().filter(|event| probe_of(&event.kind) == loss.probe).count();
            loss.dropped -= before;
            loss.hits = delivered as u64 + loss.dropped;
        }
        Ok(losses)
    }

    fn losses(&mut self) -> anyhow::Result<Vec<ProbeLoss>> {
        let now = boot_clock();
        let losses = read_losses(&self.counters).context("cannot read the loss counters")?;
        let dropped: Vec<u64> = losses.iter().map(|loss| loss.dropped).collect();
        if self.dropped.back().is_none_or(|(_, last)| *last != dropped) {
            // For a start that began before all that is kept, everything counts.
            if self.dropped.len() == SNAPSHOTS {
                self.dropped.pop_front();
            }
            self.dropped.push_back((now, dropped));
        }
        Ok(losses)
    }

    /// Whether the start can be told: when records of `main.main` were lost, one that seems not to have reached
    /// it may have.
    fn is_sure(&mut self, seen: &SeenStart) -> anyhow::Result<bool> {
        let reached = seen.events.last().is_some_and(Event::is_main);
        let lost = |loss: &ProbeLoss| loss.probe == Probe::MainMain && loss.dropped > 0;
        Ok(reached || !self.losses()?.iter().any(lost))
    }
}

fn probe_of(kind: &EventKind) -> Probe {
    match kind {
        EventKind::Exec { .. } => Probe::Exec,
        EventKind::Exit => Probe::Exit,
        EventKind::Hit(hit) => hit.probe,
        EventKind::Wait(_) => Probe::Wait,
        EventKind::Call(_) => Probe::Call,
        EventKind::Slow(_) => Probe::Slow,
    }
}

/// Without these a start's parent is not known.
fn watch_config() -> WatchConfig {
    let offset = |field| kernel_offset_of("task_struct", field).ok().flatten().unwrap_or(0);
    WatchConfig { real_parent: offset("real_parent"), tgid: offset("tgid") }
}

fn binary(args: &Args) -> anyhow::Result<GoBinary> {
    if let Some(name) = &args.name {
        let process = match Process::find(name) {
            Err(ProcessError::SeveralNamed { pids, .. }) if run_the_same(&pids) => {
                Process::find(&pids[0].to_string())
            }
            other => other,
        }?;
        return Ok(GoBinary::from_file(process.open_exe()?, process.exe())?);
    }
    let named = args.binary.as_deref().context("no program to watch")?;
    let path = command::resolve(named, std::env::var_os("PATH").as_deref())?;
    let path = std::fs::canonicalize(&path).unwrap_or(path);
    refuse_script(&path)?;
    Ok(GoBinary::open(&path)?)
}

/// Whether all of them run one file.
fn run_the_same(pids: &[u32]) -> bool {
    let file =
        |pid: &u32| std::fs::metadata(format!("/proc/{pid}/exe")).map(|file| (file.dev(), file.ino())).ok();
    let first = pids.first().and_then(file);
    first.is_some() && pids.iter().all(|pid| file(pid) == first)
}

/// A script's processes run its interpreter.
fn refuse_script(path: &Path) -> anyhow::Result<()> {
    let mut head = Vec::new();
    let opened = std::fs::metadata(path).and_then(|metadata| {
        // Whatever else it is, opening it as a binary says so.
        if metadata.is_file() { std::fs::File::open(path)?.take(256).read_to_end(&mut head) } else { Ok(0) }
    });
    let Some(line) = opened.ok().and_then(|_| head.strip_prefix(b"#!")) else { return Ok(()) };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let interpreter = crate::export::printable(String::from_utf8_lossy(line).trim());
    Err(TargetRefused(format!(
        "{} is a script that {interpreter} runs, and no Go program; watch the program that it starts",
        path.display()
    ))
    .into())
}

fn show(report: &Report, args: &Args) -> anyhow::Result<()> {
    let out = anstream::stdout();
    let mut out = BufWriter::new(out.lock());
    let written = if args.json {
        Ndjson.write(report, &mut out)
    } else if args.output.is_some() {
        Ok(())
    } else {
        let text = Text { order: InitOrder::Slowest, inits: args.top, color: true };
        text.write(report, &mut out).and_then(|()| writeln!(out))
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

fn report(binary: &GoBinary, plan: &StartupPlan, started: &SeenStart) -> Report {
    let SeenStart { pid, events, gone } = started;
    let (begin, end) = (events.first(), events.last());
    let begin = begin.map_or(Nanos(0), |event| event.time);
    let end = end.filter(|event| event.is_main()).map_or_else(boot_clock, |event| event.time);
    let catalogue = catalogue(binary, plan, events);
    let hits = || {
        events.iter().filter_map(|event| match &event.kind {
            EventKind::Hit(hit) => Some(hit),
            _ => None,
        })
    };
    let bias = hits().find_map(|hit| catalogue.bias(hit)).unwrap_or(0);
    let parent =
        hits().find(|hit| hit.probe == Probe::GoEntry).and_then(|hit| u32::try_from(hit.argument).ok());
    let observation =
        Observation { begin, end, gone: *gone, closing: None, present: None, ready: None, throttled: None };
    let symbols = BinarySymbols { binary, bias };
    let timeline = StartupTimeline::of(events, &catalogue, &symbols, &observation).watched();
    let ending = match (&timeline.replaced_by, gone) {
        (Some(by), _) => Ending::Replaced(by.clone()),
        (None, Some(_)) => Ending::Gone,
        (None, None) => Ending::Running,
    };
    Report {
        awaited: None,
        subject: Subject {
            parent: parent.filter(|parent| *parent != 0),
            watched: true,
            ..Subject::of(*pid, binary.path().to_owned(), binary, kernel_release(), wall_clock_at(begin))
        },
        timeline,
        ending,
        missing: plan.missing.iter().map(missing_probe).collect(),
        losses: Vec::new(),
        undecodable: 0,
    }
}

/// The wall clock at a moment of the boot clock, if nobody has set it since.
fn wall_clock_at(moment: Nanos) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(0).saturating_sub(boot_clock().since(moment).0)
}
