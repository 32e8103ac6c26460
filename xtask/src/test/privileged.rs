//! The privileged tests: natively, and beside that in guests with other kernels.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::kernel_log::KernelLog;
use super::{Args, Part, Suite, Tools, VOICE, kernel_test_binary, programs};
use crate::exec;
use crate::fixtures::{self, Fixture};
use crate::privilege::{self, Road};
use crate::vm::{Guest, Kernel};
use crate::{apt, build, cache, setup};

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

/// Where they run.
enum Place<'a> {
    Here(Here<'a>),
    Guest(Result<Guest>),
}

/// This machine's own kernel.
struct Here<'a> {
    road: Road,
    binary: &'a Path,
    tools: &'a Tools,
    /// What is left out, as the test runner's arguments.
    skipped: Vec<String>,
}

/// Runs them everywhere at once: most of what the tests here do is to wait, and the guests, each of which keeps one
/// processor busy, give way to them. Those that fail are run again when all else is over.
pub(super) fn all(args: &Args, tools: &Tools, binary: &Path, suite: &mut Suite) {
    let name = format!("here, {}", exec::text(Command::new("uname").arg("-r")).unwrap_or_default().trim());
    let here = Here::find(tools, binary, &name, suite);
    let log = here.as_ref().map(|here| KernelLog::now(here.road));
    let mut places: Vec<_> = here.into_iter().map(|here| (name.clone(), Place::Here(here))).collect();
    if args.no_vm {
        suite.note("--no-vm: not run on Debian's 6.1 and 6.12 kernels");
    } else {
        suite.note(&format!("in the virtual machines, of the kernel tests: {}", OF_THE_KERNEL.join(", ")));
        // They are packed one after the other: both use the cache.
        places.extend([Kernel::V6_1, Kernel::V6_12].map(|kernel| {
            let mut guest = guest(kernel, tools, binary, |fixture| IN_VM.contains(&&*fixture.name));
            guest.iter_mut().for_each(Guest::give_way);
            (format!("QEMU, {kernel}"), Place::Guest(guest))
        }));
    }
    suite.parts_at_once("kernel tests", places, Place::run, Place::again);
    let Some(log) = log else { return };
    suite.part("kernel log", &name, |part| {
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

impl Place<'_> {
    fn run(&mut self, part: &mut Part) -> Result<()> {
        match self {
            Self::Here(here) => here.run(&here.skipped, part),
            Self::Guest(guest) => in_guest(packed(guest)?, &OF_THE_KERNEL.join(" "), part),
        }
    }

    fn again(&mut self, tests: &[String], part: &mut Part) -> Result<()> {
        match self {
            Self::Here(here) => here.run(&[&["--exact".to_owned()], tests].concat(), part),
            Self::Guest(guest) => in_guest(packed(guest)?, &format!("--exact {}", tests.join(" ")), part),
        }
    }
}

fn packed(guest: &mut Result<Guest>) -> Result<&mut Guest> {
    guest.as_mut().or_else(|error| bail!("{error:#}"))
}

impl<'a> Here<'a> {
    /// None where they cannot run, which the suite is told.
    fn find(tools: &'a Tools, binary: &'a Path, name: &str, suite: &mut Suite) -> Option<Self> {
        let road = Road::find();
        let program = fixtures::read(&tools.programs.fixtures)
            .ok()
            .and_then(|all| all.into_iter().find(|fixture| fixture.name == "echo"));
        let obstacle = match &program {
            Some(program) => privilege::obstacle(road, &tools.gotrace, Path::new(&program.path)),
            None => Ok(Some("the fixture `echo` is not there".into())),
        };
        match obstacle {
            Err(error) => {
                suite.lost("kernel tests", name, &error);
                return None;
            }
            Ok(Some(obstacle)) => {
                suite.note(&format!("not run natively ({obstacle}): only in the virtual machines"));
                return None;
            }
            Ok(None) => {}
        }
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
        Some(Self { road, binary, tools, skipped })
    }

    fn run(&self, more: &[String], part: &mut Part) -> Result<()> {
        part.run(native(self.road, self.binary, self.tools).args(more))
    }
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

/// The same program without its debug information, which the guest would unpack for nothing.
fn stripped(binary: &Path) -> Result<PathBuf> {
    let smaller = cache::folder("vm")?.join("kernel-tests");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&smaller).arg(binary);
    Ok(if exec::text(&mut strip).is_ok() { smaller } else { binary.to_owned() })
}
