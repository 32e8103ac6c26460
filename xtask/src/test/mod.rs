//! `cargo xtask test`: every test, from nothing, and what ran where.

mod browser;
mod deploy;
mod kernel_log;
mod otlp;
mod privileged;
mod suite;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context as _, Result};

pub(crate) use self::privileged::{chosen, guest, in_guest, native};
pub(crate) use self::suite::{Part, Suite};
use crate::build::FEATURES;
use crate::exec::{self, Voice};
use crate::fixtures::{self, Selection};
use crate::privilege::Road;
use crate::{build, setup};

const VOICE: Voice = Voice("test");

/// The test program that loads probes; the others in tracer/tests need no privileges.
const PRIVILEGED: &str = "kernel";

/// The test program that opens pages in a browser.
const BROWSER: &str = "browser";

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
    privileged::all(args, &tools, &program_of(&built, PRIVILEGED)?, suite);
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
