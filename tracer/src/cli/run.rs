//! `gotrace run -- CMD`: a command's startup, with the probes in place before its first instruction.

mod repeat;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use tracer_ebpf::config::HeapConfig;

use super::output::{self, Outputs};
use super::session::{Options, Session, Trace, Until};
use super::{Common, Exit};
use crate::doctor;
use crate::event::{Event, EventKind};
use crate::export::{self, Export as _, InitOrder, Text};
use crate::model::budget::Budget;
use crate::model::series::{Series, Start};
use crate::model::{
    BinarySymbols, Ending, InitCatalogue, InitFunction, InitName, LoadedCode, MissingProbe, Observation,
    ReadyWhen, Repetition, Report, Stack, StartupTimeline, Subject,
};
use crate::probe::plan::{self, Detail, StartupPlan};
use crate::probe::{Probe, heap_config};
use crate::target::command;
use crate::target::gobin::{Frame, GoBinary, HeapRefusal, InitTask, Machine, Support};
use crate::target::launch::{ExecStamp, Launch};
use crate::target::process::Process;
use crate::target::snapshot::Observed;
use crate::target::user::InvokingUser;
use crate::units::{Nanos, VirtAddr};

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
    /// Write the report to FILE; the format follows from its name (.txt, .ndjson). Repeatable; - is
    /// standard output
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
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
    /// Tell what each init allocates on the heap, all goroutines together. Costs the program some microseconds an
    /// init
    #[arg(long)]
    heap: bool,
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

#[derive(Clone, Copy, clap::ValueEnum)]
enum Sort {
    /// The slowest first
    Slowest,
    /// As they ran
    Order,
}

impl Sort {
    fn order(self) -> InitOrder {
        match self {
            Self::Slowest => InitOrder::Slowest,
            Self::Order => InitOrder::Run,
        }
    }
}

pub(super) fn ring_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(kib) if kib.is_power_of_two() && (4..=1 << 20).contains(&kib) => Ok(kib),
        _ => Err("a power of two from 4 to 1048576 is needed".to_owned()),
    }
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    let Some((name, _)) = args.command.split_first() else {
        anyhow::bail!("no command to run");
    };
    let path = command::resolve(name, std::env::var_os("PATH").as_deref())?;
    let mut outputs = Outputs::open(&args.output, args.json)?;
    if args.repeat > 1 {
        return repeat::run(args, common, &path, outputs);
    }
    let (report, trace) = once(args, common, &path, &outputs, None)?;
    outputs.add(&report)?;
    let text = Text { order: args.sort.order(), inits: args.top, color: false };
    outputs.finish(|color, out| Text { color, ..text }.write(&report, out))?;
    let mut series = Series::default();
    series.add(Start::of(&report))?;
    let within = is_within(&args.budget, &series, common);
    // The program goes on after the trace; its exit code is still the command's.
    let status = trace.wait()?;
    Ok(exit_of(output::is_incomplete(&report.totals()), within, status))
}

/// Traces the command once.
fn once(
    args: &Args,
    common: &Common,
    path: &Path,
    outputs: &Outputs,
    repetition: Option<Repetition>,
) -> anyhow::Result<(Report, Trace)> {
    let Some((name, arguments)) = args.command.split_first() else {
        anyhow::bail!("no command to run");
    };
    let launch = Launch {
        program: path,
        name,
        arguments,
        user: if args.as_root { None } else { InvokingUser::of_sudo() },
        stdout_to_stderr: args.json && outputs.use_stdout(),
    };
    // When anything fails from here on, the child goes without having run.
    let gated = launch.fork().with_context(|| format!("cannot start {}", path.display()))?;
    let binary = GoBinary::open(path)?;
    let detail = if args.lean { Detail::Lean } else { Detail::Full };
    let plan = traceable(&binary, detail)?;
    let heap = args.heap.then(|| heap_config(&binary));
    doctor::fit(doctor::checks(&format!("gotrace run -- {}", name.to_string_lossy())))?;
    let options = Options {
        ring_bytes: args.ring_size * 1024,
        kernel_log: common.kernel_log(),
        until: args.until,
        ready_when: args.ready_when.clone().unwrap_or(ReadyWhen::Listen),
        slow_wait: args.slow,
        heap: heap.clone().and_then(Result::ok).unwrap_or_default(),
    };
    let session = Session::prepare(&binary, &plan.sites, gated, &options)?;
    common.note(&format!("{}: {}, {} sites probed", path.display(), binary.version(), plan.sites.len()));
    let trace = session.run(path)?;
    let mut report = report(&binary, &plan, path, &trace);
    report.subject.repetition = repetition;
    report.missing.extend(heap.and_then(|heap| missing_heap(heap, &report.timeline)));
    // Many programs never listen, and nobody asked; a condition that was given is missed.
    if report.timeline.ready.is_none() {
        report.awaited = args.ready_when.as_ref().map(ToString::to_string);
    }
    Ok((report, trace))
}

/// Says which budgets were exceeded, and whether none was.
fn is_within(budgets: &[Budget], series: &Series, common: &Common) -> bool {
    let mut within = true;
    for budget in budgets {
        let (exceeded, said) = export::verdict(budget, budget.outcome(series), series.runs());
        if exceeded {
            within = false;
            anstream::eprintln!("gotrace: {said}");
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

/// What cannot be traced is refused here, each with its reason; what can only partly be, says so.
pub(super) fn traceable(binary: &GoBinary, detail: Detail) -> anyhow::Result<StartupPlan> {
    let refuse = |reason: String| Err(super::exit::TargetRefused(reason).into());
    let shown = binary.path().display();
    let host = if cfg!(target_arch = "x86_64") { Machine::X86_64 } else { Machine::Aarch64 };
    if binary.machine() != host {
        return refuse(format!(
            "{shown} is built for {}, this machine is {host}; gotrace inspect still reads it",
            binary.machine()
        ));
    }
    if let Support::TooOld = binary.support() {
        return refuse(format!(
            "{shown} was built by {}; gotrace knows Go 1.19 to 1.27. gotrace inspect still shows what it is",
            binary.version()
        ));
    }
    let plan = plan::startup(binary, detail);
    if plan.sites.is_empty() {
        let reasons: Vec<String> =
            plan.missing.iter().map(|missing| format!("{}: {}", missing.function, missing.reason)).collect();
        return refuse(format!("{shown} offers no place to probe: {}", reasons.join("; ")));
    }
    for missing in &plan.missing {
        let plan::MissingHook { hook, function, reason } = missing;
        if hook.is_detail() {
            tracing::info!("not probed: {hook} ({function}): {reason}");
        } else {
            tracing::warn!("not probed: {hook} ({function}): {reason}");
        }
    }
    Ok(plan)
}

fn report(binary: &GoBinary, plan: &StartupPlan, exe: &Path, trace: &Trace) -> Report {
    let catalogue = catalogue(binary, plan, &trace.events);
    let (begin, wall_unix) = begin(trace);
    let present = trace.closing.as_ref().and_then(|closing| closing.wait.clone());
    let present = present.map(|wait| (wait, present_stack(binary, trace.pid)));
    let closing = trace.closing.as_ref().map(|closing| closing.account);
    let Trace { end, gone, ready, throttled, .. } = *trace;
    let observation = Observation { begin, end, gone, closing, present, ready, throttled };
    let bias = trace.events.iter().find_map(|event| match &event.kind {
        EventKind::Hit(hit) => catalogue.bias(hit),
        _ => None,
    });
    let symbols = BinarySymbols { binary, bias: bias.unwrap_or(0) };
    let timeline = StartupTimeline::of(&trace.events, &catalogue, &symbols, &observation);
    let ending = match (&timeline.replaced_by, trace.status()) {
        (Some(by), _) => Ending::Replaced(by.clone()),
        (None, None) => Ending::Running,
        (None, Some(status)) => ending(status),
    };
    Report {
        subject: Subject::of(
            trace.pid,
            std::fs::canonicalize(exe).unwrap_or_else(|_| exe.to_owned()),
            binary,
            kernel_release(),
            wall_unix,
        ),
        timeline,
        ending,
        missing: plan.missing.iter().map(missing_probe).collect(),
        losses: trace.losses.clone(),
        undecodable: trace.undecodable,
        awaited: None,
    }
}

/// The binary's inits, and those that only the events know.
pub(super) fn catalogue(binary: &GoBinary, plan: &StartupPlan, events: &[Event]) -> InitCatalogue {
    let sites = plan.sites.iter().map(|planned| (planned.hook, planned.site.address));
    let tasks = binary.init_tasks().unwrap_or_else(|error| {
        tracing::warn!("the list of inits is not to be had: {error}");
        Vec::new()
    });
    let tasks = tasks.into_iter().map(|task| {
        let functions = functions(binary, plan, &task);
        (task, functions)
    });
    let modules = binary.build_info().into_iter().flat_map(|info| info.main.iter().chain(&info.dependencies));
    let mut catalogue = InitCatalogue::new(tasks, sites).with_modules(modules.cloned());
    add_unlisted_tasks(&mut catalogue, binary, plan, events);
    catalogue
}

pub(super) fn missing_probe(missing: &plan::MissingHook) -> MissingProbe {
    let plan::MissingHook { hook, function, reason } = missing;
    MissingProbe {
        probe: hook.name(),
        function: function.clone(),
        reason: reason.clone(),
        is_detail: hook.is_detail(),
    }
}

/// Of how many inits the allocations are not known though they were asked for, and why.
fn missing_heap(heap: Result<HeapConfig, HeapRefusal>, timeline: &StartupTimeline) -> Option<MissingProbe> {
    let done = timeline.inits.iter().filter(|init| init.done);
    let unknown = done.clone().filter(|init| init.heap.is_none()).count();
    let all = done.count();
    let reason = match heap {
        Err(refusal) => refusal.to_string(),
        Ok(_) if unknown == 0 => return None,
        Ok(HeapConfig { most_ps, .. }) => format!(
            "of {unknown} of {all} inits: there were more than {most_ps} Ps (GOMAXPROCS), a counter was not \
             readable, or another thread changed it meanwhile"
        ),
    };
    let function = "runtime.memstats".to_owned();
    Some(MissingProbe { probe: "heap", function, reason, is_detail: unknown < all })
}

/// What an init task runs, by name and place.
fn functions(binary: &GoBinary, plan: &StartupPlan, task: &InitTask) -> Vec<InitFunction> {
    let probed: Vec<_> = plan.sites.iter().filter(|planned| planned.hook == Probe::InitFunction).collect();
    let describe = |address: &VirtAddr| {
        let Some(function) = binary.functions().containing(*address) else {
            return InitFunction { name: format!("?{address:#x}"), file: None, line: 0, site: None };
        };
        let within = |site: &VirtAddr| function.entry <= *site && *site < function.end;
        let site = probed.iter().map(|planned| planned.site.address).find(within);
        let (file, line) = binary.written(&function);
        InitFunction { name: function.name, file, line, site }
    };
    task.functions.iter().map(describe).collect()
}

/// The runtime's own tasks need not be in the binary's list; each is read at the address that was hit.
fn add_unlisted_tasks(
    catalogue: &mut InitCatalogue,
    binary: &GoBinary,
    plan: &StartupPlan,
    events: &[Event],
) {
    for event in events {
        let EventKind::Hit(hit) = &event.kind else { continue };
        if hit.probe != Probe::Init {
            continue;
        }
        let Some(address) = catalogue.task_address(hit) else { continue };
        if let InitName::Unknown(_) = catalogue.name(address) {
            match binary.init_task(address) {
                Ok(task) => {
                    let functions = functions(binary, plan, &task);
                    catalogue.add(task, functions);
                }
                Err(error) => tracing::warn!("the init task at {address:#x} is unknown: {error}"),
            }
        }
    }
}

/// When the program's own time begins: with its call of execve, which the kernel side's account begins with. What
/// the child did between its stamp and that was gotrace's.
fn begin(trace: &Trace) -> (Nanos, u64) {
    let ExecStamp { boot, wall_unix } = trace.stamp;
    let exec = trace.events.iter().find_map(|event| match &event.kind {
        EventKind::Exec { account, .. } => Some((event.time, account)),
        _ => None,
    });
    let Some((time, account)) = exec else { return (boot, wall_unix) };
    let taken = account.on_cpu + account.runnable + account.blocked.iter().sum::<u64>();
    let begin = time.since(Nanos(taken));
    (begin, wall_unix + begin.since(boot).0)
}

/// The main goroutine's stack, of a program that waits; empty where it cannot be had.
fn present_stack(binary: &GoBinary, pid: u32) -> Vec<Frame> {
    let look = || -> anyhow::Result<Vec<Frame>> {
        let process = Process::find(&pid.to_string())?;
        let observed = Observed::new(&process, binary)?;
        let goroutine = observed.look()?.main?.map(|main| main.goroutine);
        let copy = goroutine.and_then(|goroutine| goroutine.stack);
        let code = LoadedCode { binary, bias: observed.bias };
        Ok(copy.map(|copy| Stack::unwind(&copy, &code).frames).unwrap_or_default())
    };
    look().unwrap_or_else(|error| {
        tracing::warn!("the stack of the wait that goes on is not to be had: {error}");
        Vec::new()
    })
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, Some(signal)) => Ending::Killed(signal),
        (None, None) => Ending::Running,
    }
}

/// As a shell would: the program's own code, or 128 and the signal's number.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

pub(super) fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "?".to_owned(), |release| release.trim().to_owned())
}
