//! `cargo xtask test`: every test, from nothing, and what ran where.

mod browser;
mod deploy;
mod kernel_log;
mod otlp;
mod suite;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use self::kernel_log::KernelLog;
pub(crate) use self::suite::{Part, Suite};
use crate::build::FEATURES;
use crate::exec::{self, Voice};
use crate::fixtures::{self, Fixture, Selection};
use crate::privilege::{self, Road};
use crate::vm::{Guest, Kernel};
use crate::{apt, build, cache, setup};

const VOICE: Voice = Voice("test");

/// The test program that loads probes; the others in tracer/tests need no privileges.
const PRIVILEGED: &str = "kernel";

/// The test program that opens pages in a browser.
const BROWSER: &str = "browser";

/// The programs that are tried on the other kernels, where everything takes many times as long.
const IN_VM: [&str; 17] = [
    "nethttp-go1.21.13",
    "nethttp-go1.26.6",
    "nethttp-go1.26.6-stripped",
    "nethttp-go1.26.6-pie",
    "nethttp-go1.27.3",
    "esbuild",
    "initsleep",
    "slowinit-go1.26.6",
    "syscalls-go1.26.6",
    "blocked-go1.26.6",
    "collector-go1.21.13",
    "collector-go1.27.3",
    "slowstart",
    "echo",
    "exitininit",
    "killininit",
    "execininit",
];

/// The tests that other kernels could end otherwise, by the beginnings of their names: what comes from probes,
/// tracepoints and the kernel's own structures. What is made of it afterwards is the same everywhere.
const OF_THE_KERNEL: [&str; 20] = [
    "blocking::counts",
    "blocking::forever",
    "blocking::waits::a_wait",
    "endings::",
    "gc::cycles",
    "gc::startup",
    "gc::stops",
    "node::gate",
    "oracle::",
    "output::a_full_ring",
    "slowinit::every_long_wait",
    "slowinit::goroutines_are_counted",
    "slowinit::the_init_function",
    "slowinit::the_parts",
    "slowinit::time_is_where",
    "slowinit::unfinished",
    "transparency::",
    "trust::beside::delve",
    "trust::verified",
    "watching::",
];

/// Runs every test, from nothing: privileged ones natively when possible, and in virtual machines.
#[derive(clap::Args)]
#[group(id = "tests")]
pub(crate) struct Args {
    /// Only the fixtures of one Go toolchain
    #[arg(long)]
    quick: bool,
    /// Leave out the virtual machines
    #[arg(long)]
    pub(crate) no_vm: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut suite = Suite::default();
    setup::ensure()?;
    let (gotrace, programs) = beside(|| programs(args), build::gotrace);
    all(args, Tools::of(gotrace, programs), &mut suite)?;
    suite.finish()
}

/// Does something that waits for others, for downloads for the most part, beside something else.
pub(crate) fn beside<W: Send, R>(waits: impl FnOnce() -> W + Send, runs: impl FnOnce() -> R) -> (R, W) {
    thread::scope(|scope| {
        let waits = scope.spawn(waits);
        let ran = runs();
        (ran, waits.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Adds every test to a suite.
pub(crate) fn all(args: &Args, tools: Result<Tools>, suite: &mut Suite) -> Result<()> {
    if args.quick {
        suite.note(
            "--quick: fixtures of one Go toolchain; the other versions and Debian's programs may be missing",
        );
    }
    let tools = match tools {
        Ok(tools) => tools,
        Err(error) => {
            suite.lost("preparation", "here", &error);
            return Ok(());
        }
    };
    let built = match integration_tests() {
        Ok(built) => built,
        Err(error) => {
            suite.lost("all tests", "everywhere", &error);
            return Ok(());
        }
    };
    suite.part("unit tests", "here", |part| {
        let mut command = exec::cargo();
        command.args(["test", "--workspace", "--lib", "--bins", "--no-fail-fast"]);
        part.run(command.args(FEATURES))
    });
    for (name, program) in built.iter().filter(|(name, _)| ![PRIVILEGED, BROWSER].contains(&&***name)) {
        suite.part(&format!("{name} tests"), "here", |part| {
            part.run(integration_test(program).envs(tools.variables()))
        });
    }
    suite.part("manifests", "here", |part| deploy::manifests(&tools.gotrace, part));
    suite.part("alerts, dashboard", "here", deploy::alerts);
    in_browser(&program_of(&built, BROWSER)?, suite);
    privileged(args, &tools, &program_of(&built, PRIVILEGED)?, suite);
    Ok(())
}

fn in_browser(program: &Path, suite: &mut Suite) {
    let variables = match browser::variables() {
        Ok(variables) => variables,
        Err(error) => return suite.note(&format!("no page was opened in a browser: {error:#}")),
    };
    suite.part("browser tests", "here", |part| part.run(integration_test(program).envs(variables)));
}

/// What the tests are given.
pub(crate) struct Tools {
    gotrace: PathBuf,
    programs: Programs,
}

/// What is not built by cargo, and can be made beside what is.
pub(crate) struct Programs {
    fixtures: PathBuf,
    /// A folder for each Go version, with its `pprof`.
    pprof: PathBuf,
    /// OpenTelemetry's messages for Python.
    otlp: PathBuf,
}

impl Tools {
    pub(crate) fn of(gotrace: Result<PathBuf>, programs: Result<Programs>) -> Result<Self> {
        Ok(Self { gotrace: gotrace?, programs: programs? })
    }

    /// `gotrace`, and the folder of a manifest of programs to try it on.
    pub(crate) fn new(gotrace: PathBuf, fixtures: PathBuf, pprof: PathBuf, otlp: PathBuf) -> Self {
        Self { gotrace, programs: Programs { fixtures, pprof, otlp } }
    }

    pub(crate) fn gotrace(&self) -> &Path {
        &self.gotrace
    }

    fn variables(&self) -> [(&'static str, &Path); 4] {
        let Self { gotrace, programs: Programs { fixtures, pprof, otlp } } = self;
        [
            ("GOTRACE_BIN", gotrace),
            ("GOTRACE_FIXTURES", fixtures),
            ("GOTRACE_PPROF", pprof),
            ("GOTRACE_OTLP", otlp),
        ]
    }
}

/// Makes the fixtures, and the readers of what gotrace writes.
pub(crate) fn programs(args: &Args) -> Result<Programs> {
    let selection = if args.quick { Selection::Quick } else { Selection::All };
    let fixtures = fixtures::ensure(&selection)?;
    Ok(Programs { fixtures, pprof: fixtures::pprof(args.quick)?, otlp: otlp::messages()? })
}

/// Runs one of the privileged tests natively, told more by a variable.
pub(crate) fn alone(test: &str, variable: (&str, &str)) -> Result<ExitCode> {
    let mut suite = Suite::default();
    setup::ensure()?;
    let tools = Tools::of(build::gotrace(), programs(&Args { quick: true, no_vm: true }))?;
    let binary = kernel_test_binary()?;
    let [bin, fixtures, pprof, otlp] = tools.variables();
    let variables = [bin, fixtures, pprof, otlp, (variable.0, Path::new(variable.1))];
    suite.part(test, "here", |part| {
        let mut command = Road::find().command(&binary, &variables);
        command.args(["--include-ignored", "--nocapture", "--exact", test]);
        part.run(&mut command)
    });
    suite.finish()
}

/// Runs chosen privileged tests in a guest, told more by a variable.
pub(crate) fn chosen(kernel: Kernel, filter: &str, variable: Option<(&str, &str)>) -> Result<ExitCode> {
    let mut suite = Suite::default();
    setup::ensure()?;
    let tools = Tools::of(build::gotrace(), programs(&Args { quick: true, no_vm: false }))?;
    let mut guest = guest(kernel, &tools, &kernel_test_binary()?, |fixture| IN_VM.contains(&&*fixture.name))?;
    if let Some((name, value)) = variable {
        guest.variable(name, value);
    }
    suite.part("kernel tests", &format!("QEMU, {kernel}"), |part| in_guest(&mut guest, filter, part));
    suite.finish()
}

fn privileged(args: &Args, tools: &Tools, binary: &Path, suite: &mut Suite) {
    natively(tools, binary, suite);
    if args.no_vm {
        suite.note("--no-vm: not run on Debian's 6.1 and 6.12 kernels");
        return;
    }
    suite.note(&format!("in the virtual machines, of the kernel tests: {}", OF_THE_KERNEL.join(", ")));
    // Each guest keeps one processor busy. They are packed one after the other: both use the cache.
    let guests = [Kernel::V6_1, Kernel::V6_12]
        .map(|kernel| {
            (
                format!("QEMU, {kernel}"),
                guest(kernel, tools, binary, |fixture| IN_VM.contains(&&*fixture.name)),
            )
        })
        .into();
    suite.parts_at_once("kernel tests", guests, |guest, part| {
        let mut guest = guest?;
        in_guest(&mut guest, &OF_THE_KERNEL.join(" "), part)?;
        part.again(|tests, part| in_guest(&mut guest, &format!("--exact {}", tests.join(" ")), part))
    });
}

/// Runs privileged tests in a guest.
pub(crate) fn in_guest(guest: &mut Guest, tests: &str, part: &mut Part) -> Result<()> {
    let script = format!("/tests/kernel --include-ignored --test-threads=1 --color=never {tests}");
    let outcome = guest.run(&script, Duration::from_secs(1800), |line| part.line(line))?;
    part.exit(outcome.exit_code == 0);
    for line in &outcome.kernel_complaints {
        part.fail(&format!("the guest's kernel log: {line}"));
    }
    Ok(())
}

/// The privileged tests, natively: as cargo runs them, one after the other. What they say, their panics above all, is
/// printed where it is said, and not after the last of them.
pub(crate) fn native(road: Road, binary: &Path, tools: &Tools) -> Command {
    let mut command = road.command(binary, &tools.variables());
    command
        .args(["--include-ignored", "--test-threads=1", "--nocapture"])
        .current_dir(exec::workspace().join("tracer"));
    command
}

fn natively(tools: &Tools, binary: &Path, suite: &mut Suite) {
    let place = format!("here, {}", exec::text(Command::new("uname").arg("-r")).unwrap_or_default().trim());
    let road = Road::find();
    let program = fixtures::read(&tools.programs.fixtures)
        .ok()
        .and_then(|all| all.into_iter().find(|fixture| fixture.name == "echo"));
    let obstacle = match &program {
        Some(program) => privilege::obstacle(road, &tools.gotrace, Path::new(&program.path)),
        None => Ok(Some("the fixture `echo` is not there".into())),
    };
    match obstacle {
        Err(error) => return suite.lost("kernel tests", &place, &error),
        Ok(Some(obstacle)) => {
            return suite.note(&format!("not run natively ({obstacle}): only in the virtual machines"));
        }
        Ok(None) => {}
    }
    let log = KernelLog::now(road);
    let mut skipped = Vec::new();
    let peers = [
        ("strace", &["blocking::strace", "trust::faults"][..]),
        ("bpftrace", &["blocking::bpftrace", "trust::beside::bpftrace"]),
        ("linux-perf", &["trust::beside::perf"]),
    ];
    for (peer, tests) in peers {
        if let Err(error) = apt::install(VOICE, &[peer]) {
            suite.note(&format!("not compared with {peer}: {error:#}"));
            skipped.extend(tests.iter().flat_map(|test| ["--skip".to_owned(), (*test).to_owned()]));
        }
    }
    suite.part("kernel tests", &place, |part| {
        let run = |more: &mut dyn Iterator<Item = &String>, part: &mut Part| {
            part.run(native(road, binary, tools).args(more))
        };
        run(&mut skipped.iter(), part)?;
        part.again(|tests, part| run(&mut [&"--exact".to_owned()].into_iter().chain(tests), part))
    });
    suite.part("kernel log", &place, |part| {
        let complaints = log?.complaints()?;
        for line in &complaints {
            part.fail(&format!("new in the kernel log: {line}"));
        }
        if complaints.is_empty() {
            part.pass("nothing new in the kernel log");
        }
        Ok(())
    });
}

/// A guest with gotrace, its privileged tests, and the chosen programs.
pub(crate) fn guest(
    kernel: Kernel,
    tools: &Tools,
    binary: &Path,
    chosen: impl Fn(&Fixture) -> bool,
) -> Result<Guest> {
    let mut guest = Guest::new(kernel)?;
    guest.program(&tools.gotrace, "/usr/bin/gotrace")?;
    guest.program(&stripped(binary)?, "/tests/kernel")?;
    let delve = cache::root()?.join("delve");
    cache::once(&delve, |folder| apt::unpack(VOICE, "delve", folder))?;
    guest.program(&delve.join("usr/bin/dlv"), "/usr/bin/dlv")?;
    guest.fixtures(&tools.programs.fixtures, chosen)?;
    guest.variable("GOTRACE_BIN", "/usr/bin/gotrace");
    guest.variable(
        "GOTRACE_FIXTURES",
        tools.programs.fixtures.to_str().context("the cache's path is not UTF-8")?,
    );
    guest.variable("GOTRACE_VM", &kernel.to_string());
    Ok(guest)
}

/// Builds all tests at once, which keeps every processor busy, and with the same features of all crates, and gives the
/// programs of those in tracer/tests by their names.
fn integration_tests() -> Result<BTreeMap<String, PathBuf>> {
    VOICE.say("building the tests");
    let mut command = exec::cargo();
    command.args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let messages = exec::text(command.args(FEATURES).stderr(Stdio::inherit()))?;
    let program = |message: serde_json::Value| {
        let target = &message["target"];
        let name = target["name"].as_str().filter(|_| target["kind"][0] == "test")?;
        Some((name.to_owned(), PathBuf::from(message["executable"].as_str()?)))
    };
    Ok(messages.lines().filter_map(|line| program(serde_json::from_str(line).ok()?)).collect())
}

fn program_of(built: &BTreeMap<String, PathBuf>, name: &str) -> Result<PathBuf> {
    built.get(name).cloned().with_context(|| format!("cargo built no tests named {name}"))
}

/// Runs them where cargo would.
fn integration_test(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--include-ignored").current_dir(exec::workspace().join("tracer"));
    command
}

/// Builds the privileged tests, and gives the program that runs them.
pub(crate) fn kernel_test_binary() -> Result<PathBuf> {
    program_of(&integration_tests()?, PRIVILEGED)
}

/// The same program without its debug information, which the guest would unpack for nothing.
fn stripped(binary: &Path) -> Result<PathBuf> {
    let smaller = cache::folder("vm")?.join("kernel-tests");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&smaller).arg(binary);
    Ok(if exec::text(&mut strip).is_ok() { smaller } else { binary.to_owned() })
}
