//! `gotrace attach PID|NAME|PATH`: what a running program is blocked on.

mod around;
mod capture;
mod gc;
mod live;
mod moments;
mod now;
mod report;
mod sites;
mod terminal;
mod waits;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use regex::Regex;

use self::live::{Live, Options};
use self::moments::{Moment, Moments};
use self::now::Observer;
use self::report::Reporter;
use self::waits::Plan;
use super::collection::{ensure_collector, gctrace};
use super::exit::TargetRefused;
use super::flame::{By, Flame};
use super::open::Opener;
use super::output::{Outputs, format_name};
use super::recorder::size;
use super::repair::repair;
use super::rights::{self, Beside};
use super::ring::ring_size;
use super::{Common, Exit};
use crate::doctor;
use crate::export::{Format, History, View};
use crate::model::parking::Share;
use crate::model::{LoadedCode, StartupStatus, StatusReport, Subject, Usage};
use crate::target::gobin::{BinaryError, GoBinary, LayoutSource, Machine, Support};
use crate::target::kernel::kernel_release;
use crate::target::process::{Process, ProcessError};
use crate::target::process_identity::ProcessIdentity;
use crate::target::snapshot::{Observed, Snapshot};
use crate::units::boot_clock;

/// How far apart the looks are that prove that something stays where it is.
const BETWEEN: Duration = Duration::from_millis(20);

/// So many looks at a program that moves on between them.
const MOST_LOOKS: usize = 5;

/// Show what a running Go program is blocked on, and how far its start is
///
/// Follows every system call of the program with its goroutine, until Ctrl-C, the program's end or --duration, and
/// then tells which waits it suffered, where in the code and for what, and which go on still. The program is not
/// stopped. Without --waits only the collector's end of a cycle and of a stop of the world is probed, and with --no-gc
/// none of its instructions. SIGUSR1 asks for a report in between.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  sudo gotrace attach server                     until Ctrl-C
  sudo gotrace attach --duration 30s 4242
  sudo gotrace attach --duration 10s --json server | jq
  sudo gotrace attach --now 4242                 one look, nothing is loaded into the kernel

Exit codes: 0 when the report is whole; 3 when this machine or the process may not be looked into, 4 when there is
no such process or it is no Go program that gotrace knows.")]
pub(super) struct Args {
    /// Write the report to FILE; the format follows from its name (.txt, .ndjson, .html, .csv, .gctrace, .pb.gz for a
    /// profile, .trace.json, .speedscope.json, .folded and .svg for flame graphs; .gotrace for a capture, from which
    /// gotrace report makes any of them). Repeatable; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Begin a new capture when it has this size; the one before is called FILE.gotrace.1 then
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Write every report in this format, whatever its file's name
    #[arg(short, long, value_parser = format_name(), conflicts_with = "json")]
    format: Option<Format>,
    /// Show the page or the flame graph (-o FILE.html, FILE.svg) when it is written, as the user who called sudo
    #[arg(long)]
    open: bool,
    /// One JSON object a line instead of text
    #[arg(long)]
    json: bool,
    /// Look once, by memory and /proc alone: how far the start is, and where the main goroutine is
    #[arg(long, conflicts_with_all = ["duration", "interval", "slow", "open"])]
    now: bool,
    /// End after that time, such as 30s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Report in between as well, each time that this has passed: in text, NDJSON and gctrace lines, each report on the
    /// time since the last. Every other format has one report, on all of the time
    #[arg(long, value_name = "TIME", value_parser = positive)]
    interval: Option<Duration>,
    /// Tell waits and system calls from this length on one by one
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = humantime::parse_duration)]
    slow: Duration,
    /// What flame graphs (.svg, .folded) and profiles (.pb.gz) show
    #[arg(long, value_enum, value_name = "WHAT", default_value = "blocked")]
    flame: Flame,
    /// What is at the bottom of flame graphs
    #[arg(long, value_enum, value_name = "WHAT", default_value = "stack")]
    by: By,
    /// Only stacks with a frame that matches, in flame graphs
    #[arg(long, value_name = "REGEX")]
    focus: Option<Regex>,
    /// Leave addresses and paths out of the report: only what kind of thing each object is
    #[arg(long)]
    redact: bool,
    /// Also tell why goroutines did not run: for what, how long, and who woke them. Probes the scheduler of the
    /// program, which costs it about a microsecond each time that a goroutine is parked, made ready, or runs; what
    /// it cost is told. On kernels before 6.6 the probes take about 0.1 s each to remove. Go 1.21 and later
    #[arg(long)]
    waits: bool,
    /// What --waits may cost the program at most, in percent of one processor: then fewer goroutines are followed, or
    /// none
    #[arg(long, value_name = "PERCENT", default_value = "2", value_parser = waits::budget, requires = "waits")]
    max_overhead: Share,
    /// Do not tell what the garbage collector does and when the world is stopped. Telling it costs the program three
    /// probes a cycle, about a microsecond each
    #[arg(long)]
    no_gc: bool,
    /// Tell cycles of the garbage collector and stops of the world from this length on one by one, with who was blocked
    /// meanwhile
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = humantime::parse_duration)]
    stw_slow: Duration,
    /// Look this many times a second where the program runs, on every CPU; 0 for never. 99 unless given, if the kernel
    /// lets gotrace
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u64).range(0..=1000))]
    frequency: Option<u64>,
    /// The ring buffer's size in KiB: a power of two
    #[arg(long, value_name = "KIB", default_value = "4096", value_parser = ring_size, hide_short_help = true)]
    ring_size: u32,
    /// Only if the process has begun then and runs that file, as gotrace wrote it: for who knows it by more than its id
    #[arg(long, value_name = "IDENTITY", hide = true)]
    identity: Option<ProcessIdentity>,
    /// The process's id, or the name of its program, or the path of its binary (with a slash in it)
    #[arg(value_name = "PID|NAME|PATH")]
    who: String,
}

fn positive(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration >= Duration::from_millis(100) => Ok(duration),
        Ok(_) => Err("at least 100ms is needed".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    let mut outputs = Outputs::open(&args.output, args.json, args.format)?;
    outputs.ensure(if args.now { History::Look } else { History::Running })?;
    anyhow::ensure!(
        !(args.now && outputs.records()),
        "one look is not recorded: leave out --now, or that output"
    );
    if args.flame == Flame::Waits && !args.waits {
        anyhow::bail!("--flame waits is of what --waits sees: add it");
    }
    let process = Process::find(&args.who)?;
    if let Some(meant) = args.identity
        && process.is_who() != Some(meant)
    {
        return Err(ProcessError::Gone { pid: process.pid }.into());
    }
    rights::narrow(Beside {
        writes: !args.output.is_empty(),
        opens: args.open,
        samples: args.frequency != Some(0) && !args.now,
        enters: !process.shares_network(),
        ..Beside::default()
    });
    process.notes().iter().for_each(|note| common.note(note));
    let binary = binary_of(&process)?;
    if args.now {
        let report = look(&process, &binary)?;
        outputs.write(Format::Ndjson, |color, out| report.write(Format::Ndjson, color, out))?;
        outputs.finish(|color, out| report.write(Format::Text, color, out))?;
        return Ok(Exit::Ok);
    }
    let opener = args.open.then(|| Opener::of(outputs.shown())).transpose()?;
    doctor::fit(doctor::checks(&format!("gotrace attach {}", args.who)))?;
    if process.tracer().is_none() {
        let repaired = repair(&process, &binary)?;
        if repaired.has_restored() {
            repaired.sentences(&process).iter().for_each(|sentence| common.note(sentence));
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exit = runtime.block_on(follow(args, common, &process, &binary, outputs))?;
    if let Some(opener) = opener {
        opener.show(common);
    }
    Ok(exit)
}

async fn follow(
    args: &Args,
    common: &Common,
    process: &Process,
    binary: &GoBinary,
    mut outputs: Outputs,
) -> anyhow::Result<Exit> {
    if let Some(LayoutSource::DebugInfo) = binary.layout_source() {
        common.note(&format!(
            "{} is not in gotrace's table: where its runtime keeps what is read from the program's own debug information",
            binary.version()
        ));
    }
    let options = Options {
        slow: args.slow,
        frequency: args.frequency.unwrap_or(99),
        must_sample: args.frequency.is_some() || args.flame == Flame::Cpu,
        redact: args.redact,
        ring_bytes: args.ring_size * 1024,
        kernel_log: common.kernel_log(),
    };
    let observer = Observer::of(process, binary, args.redact)?;
    let waits = args.waits.then(|| Plan::of(process, binary, args.max_overhead)).transpose()?;
    let gc = if args.no_gc { None } else { Some(gc::Plan::of(process, binary)?) };
    let of_collector = (args.flame == Flame::Gc).then_some("--flame gc").or(gctrace(&outputs));
    ensure_collector(of_collector, gc.as_ref())?;
    let recorder = outputs.recorder(args.max_size)?;
    let live = Live::attach(process, observer.symbols(), &options, waits, gc, recorder).map_err(|error| {
        let ended = process.has_ended().then_some(ProcessError::Ended { pid: process.pid });
        ended.map_or(error, Into::into)
    })?;
    ensure_unchanged(process, binary, observer.symbols().bias)?;
    let (of, by, focus) = (args.flame.into(), args.by.into(), args.focus.clone());
    let view = View { of, by, focus, ..View::default() };
    let mut reporter = Reporter::new(process, binary, &observer, live, outputs, view, args.stw_slow);
    let mut moments =
        Moments::of(process, &reporter.live, args.duration, args.interval, reporter.has_screen())?;
    if !reporter.has_screen() {
        common.note(&format!(
            "attached to {} ({}); Ctrl-C for the report",
            process.exe().display(),
            process.pid
        ));
    }
    let ended = loop {
        match moments.next(&mut reporter.live).await? {
            Moment::Report => reporter.interim()?,
            Moment::Checkpoint => reporter.checkpoint()?,
            Moment::Screen => reporter.draw()?,
            Moment::End(ended) => break ended,
        }
    };
    reporter.finish(ended)
}

/// That the probes were armed for the program that was looked at: a process can become another one meanwhile.
fn ensure_unchanged(process: &Process, binary: &GoBinary, bias: u64) -> Result<(), ProcessError> {
    let pid = process.pid;
    match process.memory().and_then(|memory| process.load_bias(binary, &memory)) {
        Ok(now) if now == bias => Ok(()),
        _ if process.has_ended() => Err(ProcessError::Ended { pid }),
        // What it is now has other tables, or nothing where the binary has its own.
        Ok(_) | Err(ProcessError::OtherProgram { .. } | ProcessError::Unreadable { .. }) => {
            Err(ProcessError::Replaced { pid })
        }
        Err(error) => Err(error),
    }
}

/// How far the start is, and where the main goroutine is: by several looks, until it is known to stay there.
fn look(process: &Process, binary: &GoBinary) -> anyhow::Result<StatusReport> {
    let observed = Observed::new(process, binary)?;
    let code = LoadedCode { binary, bias: observed.bias };
    let tell = |first: &Snapshot, second: &Snapshot| StartupStatus::of(&observed.tasks, first, second, &code);

    let mut last = observed.look()?;
    let mut status = tell(&last, &last);
    for _ in 1..MOST_LOOKS {
        thread::sleep(BETWEEN);
        let next = observed.look()?;
        status = tell(&last, &next);
        last = next;
        if status.main_view().is_none_or(|main| main.stays.is_some()) {
            break;
        }
    }
    report(process, binary, status, &last)
}

/// The Go program that runs in the process.
fn binary_of(process: &Process) -> anyhow::Result<GoBinary> {
    let exe = process.exe();
    let binary = match GoBinary::from_file(process.open_exe()?, exe.clone()) {
        Err(error @ BinaryError::NotGo { .. }) => {
            let Some((library, binary)) = process.go_library() else { return Err(error.into()) };
            let version = binary.version().to_string();
            return Err(ProcessError::Library { pid: process.pid, exe, library, version }.into());
        }
        other => other?,
    };
    let refuse = |reason: String| Err(TargetRefused(reason).into());
    if binary.machine() != Machine::HOST {
        return refuse(format!(
            "{} is built for {}, and runs here by emulation",
            exe.display(),
            binary.machine()
        ));
    }
    match binary.support() {
        Support::Full => Ok(binary),
        Support::TooOld | Support::TooNew => refuse(format!(
            "{} was built by {}; gotrace knows the inits of Go 1.19 to 1.27",
            exe.display(),
            binary.version()
        )),
    }
}

fn report(
    process: &Process,
    binary: &GoBinary,
    status: StartupStatus,
    last: &Snapshot,
) -> anyhow::Result<StatusReport> {
    let stat = process.stat()?;
    let began = stat.start.min(last.at);
    let ago = Duration::from_nanos(boot_clock().since(began).0);
    let wall = SystemTime::now().checked_sub(ago).and_then(|wall| wall.duration_since(UNIX_EPOCH).ok());
    Ok(StatusReport {
        subject: Subject::of(
            process.pid,
            process.exe(),
            binary,
            kernel_release(),
            wall.and_then(|wall| u64::try_from(wall.as_nanos()).ok()).unwrap_or(0),
        ),
        began,
        at: last.at,
        usage: Usage {
            cpu: process.cpu_time(),
            user: stat.user,
            system: stat.system,
            minor_faults: stat.minor_faults,
            major_faults: stat.major_faults,
        },
        status,
    })
}
