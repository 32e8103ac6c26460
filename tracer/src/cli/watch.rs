//! `gotrace watch BINARY`: the startup of every new process of a binary, whoever starts it.

mod binary;
mod kernel_side;

use std::ffi::OsString;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracer_ebpf::config::{Config, GoConfig, HeapConfig, WatchConfig};

use self::kernel_side::KernelSide;
use super::report::{hits, kernel_release};
use super::ring::{DRAIN_INTERVAL, ring_size};
use super::traceable::Traceable;
use super::{Common, Exit};
use crate::export::{Export as _, InitOrder, Ndjson, Text};
use crate::model::{Ending, Observation, Report, SeenStart, Subject};
use crate::probe::attach::Scope;
use crate::probe::load::{LoadOptions, Loaded};
use crate::probe::plan::Detail;
use crate::probe::{Blocking, Gc, Parking, Probe, kernel_offset_of};
use crate::stream::ProbeLoss;
use crate::units::{Nanos, boot_clock};
use crate::{doctor, files};

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
    let traceable = Traceable::of(binary::named(args)?, Detail::Lean)?;
    let Traceable { binary, plan } = &traceable;
    let path = binary.path();
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
        parking: Parking::NONE,
        gc: Gc::NONE,
        ring_bytes: args.ring_size * 1024,
        kernel_log: false,
    })?;
    let mut kernel = KernelSide::of(&mut loaded)?;
    let attached = loaded.attach(binary.file(), &plan.sites, Scope::Starts)?;
    common.note(&format!("watching {} for new processes; Ctrl-C ends", path.display()));

    let mut told = 0;
    let mut tell = |started: &SeenStart, losses: Vec<ProbeLoss>, undecodable: u64| -> anyhow::Result<()> {
        let mut report = report(&traceable, started);
        (report.losses, report.undecodable) = (losses, undecodable);
        told += 1;
        if let Some(file) = &mut output {
            let mut out = BufWriter::new(file);
            Ndjson.start(&report, &mut out).and_then(|()| out.flush()).context("cannot write the report")?;
        }
        show(&report, args)
    };
    // What was dropped before the first start: nothing.
    kernel.losses()?;
    let mut unsure = 0_u64;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 && !ended.load(Ordering::SeqCst) {
        std::thread::sleep(DRAIN_INTERVAL);
        kernel.losses()?;
        for started in kernel.drain() {
            if !kernel.is_sure(&started)? {
                unsure += 1;
            } else if left > 0 {
                let losses = kernel.losses_of(&started)?;
                tell(&started, losses, kernel.take_undecodable())?;
                left -= 1;
            }
        }
    }
    attached.detach();
    // A probe may have been running while the sites were disarmed.
    let mut rest = kernel.drain();
    let stray = kernel.stray();
    rest.extend(kernel.take_rest());
    for started in rest.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        if kernel.is_sure(&started)? {
            let losses = kernel.losses_of(&started)?;
            tell(&started, losses, 0)?;
        } else {
            unsure += 1;
        }
    }
    let losses = kernel.losses()?;
    let dropped: u64 = losses.iter().map(|loss| loss.dropped).sum();
    let hits: u64 = losses.iter().map(|loss| loss.hits).sum();
    common.note(&format!("{told} starts told, {unsure} left out because their main.main may be what was lost; {hits} probe hits, \
         {dropped} lost, {stray} of no known start"));
    Ok(if dropped + stray > 0 { Exit::Incomplete } else { Exit::Ok })
}

/// Without these a start's parent is not known.
fn watch_config() -> WatchConfig {
    let offset = |field| kernel_offset_of("task_struct", field).ok().flatten().unwrap_or(0);
    WatchConfig { real_parent: offset("real_parent"), tgid: offset("tgid") }
}

fn show(report: &Report, args: &Args) -> anyhow::Result<()> {
    let out = anstream::stdout();
    let mut out = BufWriter::new(out.lock());
    let written = if args.json {
        Ndjson.start(report, &mut out)
    } else if args.output.is_some() {
        Ok(())
    } else {
        let text = Text { order: InitOrder::Slowest, inits: args.top, rows: 0, color: true };
        text.start(report, &mut out).and_then(|()| writeln!(out))
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// A start's report, without what the kernel side counted.
fn report(traceable: &Traceable, started: &SeenStart) -> Report {
    let binary = &traceable.binary;
    let SeenStart { pid, events, gone } = started;
    let (begin, end) = (events.first(), events.last());
    let begin = begin.map_or(Nanos(0), |event| event.time);
    let end = end.filter(|event| event.is_main()).map_or_else(boot_clock, |event| event.time);
    let parent =
        hits(events).find(|hit| hit.probe == Probe::GoEntry).and_then(|hit| u32::try_from(hit.argument).ok());
    let observation =
        Observation { begin, end, gone: *gone, closing: None, present: None, ready: None, throttled: None };
    let subject = Subject {
        parent: parent.filter(|parent| *parent != 0),
        watched: true,
        ..Subject::of(*pid, binary.path().to_owned(), binary, kernel_release(), wall_clock_at(begin))
    };
    let ending = if gone.is_some() { Ending::Gone } else { Ending::Running };
    let report = traceable.report(subject, events, &observation, ending);
    Report { timeline: report.timeline.watched(), ..report }
}

/// The wall clock at a moment of the boot clock, if nobody has set it since.
fn wall_clock_at(moment: Nanos) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(0).saturating_sub(boot_clock().since(moment).0)
}
