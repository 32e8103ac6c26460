//! `gotrace run -- CMD`: a command's startup, with the probes in place before its first instruction.

mod repeat;
mod report;

use std::cell::OnceCell;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use regex::Regex;

use super::collection;
use super::open::Opener;
use super::order::Sort;
use super::output::{self, Outputs, format_name};
use super::overhead;
use super::recorder::{Recorder, size};
use super::ring::ring_size;
use super::session::{Options, Session, Trace};
use super::traceable::Traceable;
use super::until::Until;
use super::{Common, Exit};
use crate::capture::record::{Begin, Starts, Verb};
use crate::doctor;
use crate::export::{self, Format, History, InitOrder, Told, View};
use crate::model::budget::Budget;
use crate::model::series::{Series, Start};
use crate::model::{MissingProbe, ReadyWhen, Repetition, Report, Subject};
use crate::probe::plan::Detail;
use crate::probe::{Costs, heap_config};
use crate::target::command;
use crate::target::gobin::GoBinary;
use crate::target::kernel::kernel_release;
use crate::target::launch::Launch;
use crate::target::user::InvokingUser;
use crate::units::{FileOffset, boot_clock, wall_clock_at};

/// Start a Go program and show where its startup time goes
///
/// The program runs as it would without gotrace: same arguments, environment, standard streams, signals and
/// exit code, and under sudo as the user who called sudo. Nothing of its start is missed.
///
/// The report comes on standard output when the program ends, on the first Ctrl-C, or as --until says. Use
/// -o FILE to keep it apart from what the program prints.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  sudo gotrace run -- ./server --port 8080
  sudo gotrace run --until main -o start.txt -o start.ndjson -- ./server
  sudo gotrace run --json -- esbuild --version | jq
  sudo gotrace run --repeat 10 --until main -o before.ndjson -- ./server
  sudo gotrace run --until main --budget to_main=50ms,init:net/http=1ms -- ./server

Exit codes: the program's own (128 + N when signal N killed it) when the tracing went well; 3 when gotrace
cannot trace here, 4 when the program is not found or no Go program that gotrace knows, 5 when more than 1 %
of the data was lost, 6 when a budget was exceeded. Of several runs the first that failed gives the code.")]
pub(super) struct Args {
    /// Write the report to FILE; the format follows from its name (.txt, .ndjson, .html, .csv, .gctrace, .inittrace, .pb.gz for
    /// a profile, .trace.json, .speedscope.json, .folded and .svg for flame graphs; .gotrace is a capture, for gotrace
    /// report). Repeatable; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Write every report in this format, whatever its file's name
    #[arg(short, long, value_parser = format_name(), conflicts_with = "json")]
    format: Option<Format>,
    /// Show the page or the flame graph (-o FILE.html, FILE.svg) when it is written, as the user who called sudo
    #[arg(long)]
    open: bool,
    /// Show only what matches in a flame graph (-o FILE.svg, FILE.folded): phases, packages, functions
    #[arg(long, value_name = "REGEX")]
    focus: Option<Regex>,
    /// One JSON object a line instead of text. On standard output the report then needs the stream for
    /// itself, and what the program writes there goes to standard error; with -o FILE it stays where it is
    #[arg(long)]
    json: bool,
    /// When to end the tracing: main, ready, exit, or after a time such as 30s. The program goes on; if it ends
    /// before, so does the tracing
    #[arg(long, value_name = "WHEN", default_value = "ready")]
    until: Until,
    /// What makes the program ready: listen (a socket listens), accept (a connection was accepted), log:REGEX
    /// (what it writes to its standard output or error matches, in the first 256 bytes of a write), file:PATH
    /// (the file is there), or http://URL (it answers with a status below 400)
    /// [default: listen]
    #[arg(long, value_name = "CONDITION")]
    ready_when: Option<ReadyWhen>,
    /// From how long on a wait before main.main is told by itself, such as 100us
    #[arg(long, value_name = "TIME", default_value = "100us", value_parser = humantime::parse_duration)]
    slow: Duration,
    /// Probe phases and inits only: no steps of the bootstrap, no single init functions, no goroutines. Costs the
    /// program less
    #[arg(long)]
    lean: bool,
    /// Tell the init functions of the standard library's packages apart too. Costs the program some microseconds
    /// each
    #[arg(long, conflicts_with = "lean")]
    all_functions: bool,
    /// Tell what each init allocates on the heap, all goroutines together. Costs the program some microseconds an
    /// init
    #[arg(long)]
    heap: bool,
    /// Do not tell what the garbage collector does. Telling it costs the program three probes a cycle, about a
    /// microsecond each, and one an assist
    #[arg(long)]
    no_gc: bool,
    /// How large a capture (-o FILE.gotrace) may become, such as 100M. Where it would be larger, the rest of a start is
    /// left out and counted; with --repeat the next run begins a new file, and the one before is called FILE.1
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Run the command N times, one after another, and report the median and the spread of all. A program
    /// that outlives its trace is ended with SIGTERM before the next run (and with SIGKILL after 10 s)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// What the startup may take, of several runs their median: to_main, to_ready, a phase, or init:PACKAGE.
    /// Repeatable. Exceeded, and so is a figure that was not reached or not measured: exit code 6
    #[arg(long, value_name = "FIGURE=TIME", value_delimiter = ',')]
    budget: Vec<Budget>,
    /// The order of the inits in text
    #[arg(long, value_enum, default_value = "slowest")]
    sort: Sort,
    /// How many inits to show in text; 0 for all
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// The size of the buffer between kernel and gotrace, in KiB: a power of two
    #[arg(long, value_name = "KIB", default_value_t = 4096, value_parser = ring_size)]
    ring_size: u32,
    /// Under sudo, run the program as root and not as the user who called sudo
    #[arg(long)]
    as_root: bool,
    /// The command to run
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    let Some((name, _)) = args.command.split_first() else {
        anyhow::bail!("no command to run");
    };
    let path = command::resolve(name, std::env::var_os("PATH").as_deref())?;
    let mut outputs = Outputs::open(&args.output, args.json, args.format)?;
    outputs.ensure(History::Start)?;
    if outputs.has(Format::Inittrace) && !args.heap {
        anyhow::bail!("inittrace also tells what inits allocate: add --heap");
    }
    let opener = args.open.then(|| Opener::of(outputs.shown())).transpose()?;
    if args.repeat > 1 {
        outputs.ensure_appends("--repeat makes several")?;
        return repeat::run(args, common, &path, outputs);
    }
    let mut recorder = outputs.recorder(args.max_size)?;
    let costs = OnceCell::new();
    let (report, trace) = once(args, common, &path, &outputs, &mut recorder, None, &costs)?;
    let view =
        View { order: args.sort.order(), inits: args.top, focus: args.focus.clone(), ..View::default() };
    outputs.add(Told::Start(&report), &view, |_| true)?;
    outputs.commit()?;
    let recorded = recorder.commit();
    if let Some(opener) = opener {
        opener.show(common);
    }
    let mut series = Series::default();
    series.add(Start::of(&report))?;
    let within = is_within(&args.budget, &series, common);
    // The program goes on after the trace; its exit code is still the command's.
    let status = trace.wait()?;
    recorded?;
    Ok(exit_of(output::is_incomplete(&report.totals()), within, status))
}

/// Traces the command once.
fn once(
    args: &Args,
    common: &Common,
    path: &Path,
    outputs: &Outputs,
    recorder: &mut Recorder,
    repetition: Option<Repetition>,
    costs: &OnceCell<Option<Costs>>,
) -> anyhow::Result<(Report, Trace)> {
    let Some((name, arguments)) = args.command.split_first() else {
        anyhow::bail!("no command to run");
    };
    let launch = Launch {
        program: path,
        name,
        arguments,
        user: if args.as_root { None } else { InvokingUser::of_sudo() },
        stdout_to_stderr: outputs.needs_stdout(),
    };
    // When anything fails from here on, the child goes without having run.
    let gated = launch.fork().with_context(|| format!("cannot start {}", path.display()))?;
    let detail = match (args.lean, args.all_functions) {
        (true, _) => Detail::Lean,
        (false, false) => Detail::Full,
        (false, true) => Detail::Everything,
    };
    let mut traceable = Traceable::of(GoBinary::open(path)?, detail)?;
    let gc = (!args.no_gc).then(|| collection::Plan::of(&traceable.binary));
    collection::ensure_collector(collection::gctrace(outputs), gc.as_ref())?;
    let (mut gc, untold) = match gc.transpose() {
        Ok(plan) => (plan, None),
        Err(missing) => (None, Some(missing)),
    };
    if let Some(assists) = gc.as_mut().map(collection::Plan::take_assists)
        && detail != Detail::Lean
    {
        traceable.plan.extend(assists);
    }
    let Traceable { binary, plan, .. } = &traceable;
    let heap = args.heap.then(|| heap_config(binary));
    doctor::fit(doctor::checks(&format!("gotrace run -- {}", name.to_string_lossy())))?;
    let options = Options {
        ring_bytes: args.ring_size * 1024,
        kernel_log: common.kernel_log(),
        until: args.until,
        ready_when: args.ready_when.clone().unwrap_or(ReadyWhen::Listen),
        slow_wait: args.slow,
        heap: heap.clone().and_then(Result::ok).unwrap_or_default(),
    };
    recorder.begin(|| begin(args, &traceable, path, gated.pid(), untold.as_ref()));
    let of_gc = gc.iter().flat_map(collection::Plan::sites);
    let sites: Vec<FileOffset> =
        plan.sites.iter().chain(of_gc).map(|planned| planned.site.file_offset).collect();
    let session = Session::prepare(binary, &plan.sites, gc, gated, &options)?;
    common.note(&format!("{}: {}, {} sites probed", path.display(), binary.version(), plan.sites.len()));
    let trace = session.run(path, recorder)?;
    let mut input = report::input_of(&traceable, path, &trace);
    input.subject.repetition = repetition;
    input.missing.extend(untold);
    // The program's start is over. What it costs to read the allocator's counters is not known of gotrace, which has none.
    if heap.is_none() {
        input.costs = costs.get_or_init(overhead::of_run).map(|costs| costs.with_sites(sites));
    }
    input.heap = heap.as_ref().map(report::heap_wanted);
    input.ready_when = args.ready_when.as_ref().map(ToString::to_string);
    let history = trace.collected.as_ref().map(|collected| &collected.history);
    let report = traceable.report(input, &trace.events, history, recorder);
    Ok((report, trace))
}

/// What is known before the program runs, for the case that nothing else will be.
fn begin(args: &Args, traceable: &Traceable, path: &Path, pid: u32, untold: Option<&MissingProbe>) -> Begin {
    let (exe, began) = (report::canonical(path), boot_clock());
    let mut missing = traceable.missing();
    missing.extend(untold.cloned());
    Begin {
        gotrace: env!("CARGO_PKG_VERSION").to_owned(),
        verb: Verb::Run,
        subject: Subject::of(pid, exe, &traceable.binary, kernel_release(), wall_clock_at(began)),
        began,
        followed: None,
        collector: traceable.binary.own_collector_layout(),
        starts: Some(Starts {
            catalogue: traceable.catalogue().clone(),
            gc: !args.no_gc && untold.is_none(),
            missing,
            top: args.top,
            in_order: args.sort.order() == InitOrder::Run,
        }),
    }
}

/// Says which budgets were exceeded, and whether none was.
fn is_within(budgets: &[Budget], series: &Series, common: &Common) -> bool {
    let mut within = true;
    for budget in budgets {
        let (exceeded, said) = export::verdict(budget, budget.outcome(series), series.runs());
        if exceeded {
            within = false;
            super::say(&said);
        } else {
            common.note(&said);
        }
    }
    within
}

/// Data that is not to be trusted comes before what it says, and that before the program's own code.
fn exit_of(incomplete: bool, within: bool, status: ExitStatus) -> Exit {
    match (incomplete, within) {
        (true, _) => Exit::Incomplete,
        (false, false) => Exit::OverBudget,
        (false, true) => Exit::Child(exit_code(status)),
    }
}

/// As a shell would: the program's own code, or 128 and the signal's number.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
