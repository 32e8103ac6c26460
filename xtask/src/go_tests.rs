//! `cargo xtask go-tests`: the Go standard library's own tests, alone and under gotrace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::exec::{Voice, is_root, line};
use crate::fixtures::{QUICK_GO, Toolchain};
use crate::{build, cache, exec};

const VOICE: Voice = Voice("go-tests");

/// How long a run takes at least, so that there is something left when gotrace has attached.
const LEAST: Duration = Duration::from_secs(4);

/// Runs the tests of Go's own packages alone, under `gotrace run` and under `gotrace attach --waits`, by turns, and
/// compares what becomes of each test.
///
/// A test that does not always end the same alone is told, and not compared.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many runs under gotrace, one half started by it and one attached to; and as many alone
    #[arg(long, value_name = "N", default_value_t = 20)]
    runs: u32,
    /// The Go release whose packages they are
    #[arg(long, value_name = "VERSION", default_value = QUICK_GO)]
    go: String,
    /// Which packages
    #[arg(long = "package", value_name = "PATH", default_values = ["sync", "net/http", "runtime"])]
    packages: Vec<String>,
}

/// How the tests run: alone, or under that gotrace.
#[derive(Clone, Copy)]
enum Way<'a> {
    Alone,
    Run(&'a Path),
    Attach(&'a Path),
}

/// What became of each test (and each part of it): how often each of passed, failed and skipped.
type Results = BTreeMap<String, BTreeMap<String, u32>>;

/// One package's tests, built.
struct Tests {
    binary: PathBuf,
    folder: PathBuf,
    goroot: PathBuf,
    /// How often each test runs in a run of all.
    count: u32,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !is_root() {
        bail!("not root: tracing needs it; run: sudo -E cargo xtask go-tests");
    }
    let gotrace = build::gotrace()?;
    let toolchain = Toolchain::fetch(&args.go)?;
    let mut differing = 0;
    for package in &args.packages {
        let tests = Tests::build(&toolchain, &args.go, package)?;
        differing += compare(&gotrace, package, &tests, args.runs)?;
    }
    Ok(if differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Gives how many tests ended otherwise under gotrace.
fn compare(gotrace: &Path, package: &str, tests: &Tests, runs: u32) -> Result<usize> {
    let mut alone = Vec::new();
    let mut traced = Vec::new();
    for turn in 0..runs {
        let way = if turn % 2 == 0 { Way::Run(gotrace) } else { Way::Attach(gotrace) };
        alone.push(tests.run(Way::Alone)?);
        traced.push((way, tests.run(way)?));
        VOICE.say(format_args!("{package}: {} of {runs} runs under gotrace", turn + 1));
    }
    let names: BTreeSet<&String> = alone.iter().flat_map(BTreeMap::keys).collect();
    let is_steady = |name: &&&String| alone.iter().all(|run| run.get(**name) == alone[0].get(**name));
    let (steady, unsteady): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| is_steady(name));
    let mut differing = BTreeSet::new();
    for (way, run) in &traced {
        let otherwise = steady.iter().filter(|name| run.get(**name) != alone[0].get(**name));
        let unknown = run.keys().filter(|name| !names.contains(name));
        for name in otherwise.copied().chain(unknown) {
            let (before, now) = (alone[0].get(name), run.get(name));
            VOICE.say(format_args!("{package}: {name} {}: {now:?}, and alone {before:?}", way.name()));
            differing.insert(name);
        }
    }
    let skipped = steady.iter().filter(|name| alone[0][**name].keys().eq(["SKIP"])).count();
    VOICE.say(format_args!(
        "{package}: {} tests end the same in {runs} runs alone ({skipped} of them are skipped here), and {} of these \
         otherwise in {runs} runs under gotrace; {} do not end the same alone{}{}",
        steady.len(),
        differing.len(),
        unsteady.len(),
        if unsteady.is_empty() { "" } else { ": " },
        unsteady.into_iter().cloned().collect::<Vec<_>>().join(", "),
    ));
    Ok(differing.len())
}

impl Tests {
    fn build(toolchain: &Toolchain, version: &str, package: &str) -> Result<Self> {
        let goroot = toolchain.goroot();
        let folder = goroot.join("src").join(package);
        let binary = cache::folder("go-tests")?.join(format!("{version}-{}", package.replace('/', "-")));
        if !binary.exists() {
            let mut go = toolchain.go()?;
            go.args(["test", "-c", "-o"]).arg(&binary).arg(package).env("CGO_ENABLED", "0");
            VOICE.quiet(format_args!("building the tests of {package}"), go.current_dir(&folder))?;
        }
        let mut tests = Self { binary, folder, goroot, count: 1 };
        let begun = Instant::now();
        tests.run(Way::Alone)?;
        let milliseconds = begun.elapsed().as_millis().max(1);
        tests.count = u32::try_from(LEAST.as_millis() / milliseconds + 1).unwrap_or(u32::MAX);
        Ok(tests)
    }

    /// The tests, or what runs them.
    fn command(&self, way: Way<'_>, report: &Path) -> Command {
        let mut command = match way {
            Way::Alone | Way::Attach(_) => Command::new(&self.binary),
            Way::Run(gotrace) => {
                let mut command = Command::new(gotrace);
                command.args(["run", "-q", "--until", "exit", "-o"]).arg(report).arg("--").arg(&self.binary);
                command
            }
        };
        command.args(["-test.short", "-test.v=test2json", "-test.timeout=20m"]);
        command.arg(format!("-test.count={}", self.count));
        // With flags of its own for the compiler, internal/testenv builds nothing: tests that build other programs, which
        // gotrace would not follow, skip themselves.
        command
            .env("GOROOT", &self.goroot)
            .env("GO_GCFLAGS", "none")
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command.current_dir(&self.folder);
        command
    }

    fn run(&self, way: Way<'_>) -> Result<Results> {
        let folder = tempfile::tempdir().context("creating a folder for reports")?;
        let (said, report) = (folder.path().join("said"), folder.path().join("report.ndjson"));
        let mut command = self.command(way, &report);
        command.stdout(File::create(&said).context("creating a file for what the tests say")?);
        let mut tests = command.spawn().with_context(|| format!("starting {}", line(&command)))?;
        if let Way::Attach(gotrace) = way {
            let mut attach = Command::new(gotrace);
            attach.args(["attach", "-q", "--waits", "-o"]).arg(&report).arg(tests.id().to_string());
            exec::text(&mut attach)?;
        }
        let status = tests.wait().context("waiting for the tests")?;
        if !matches!(way, Way::Alone) {
            saw_something(&report)?;
        }
        let said = fs::read(&said).context("reading what the tests said")?;
        let mut results = results(&String::from_utf8_lossy(&said));
        results.insert("(all of them)".to_owned(), BTreeMap::from([(status.to_string(), 1)]));
        Ok(results)
    }
}

impl Way<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Run(_) => "under gotrace run",
            Self::Attach(_) => "under gotrace attach --waits",
        }
    }
}

/// Fails when gotrace did not follow the tests to their end: then they would have been as good as alone.
fn saw_something(report: &Path) -> Result<()> {
    let text = fs::read_to_string(report).context("reading gotrace's report")?;
    let last = text.lines().last().unwrap_or_default();
    let summary: Value = serde_json::from_str(last).context("reading the report's last line")?;
    if summary["type"] != "summary" || summary["events"].as_u64().unwrap_or_default() == 0 {
        bail!("gotrace saw nothing of the tests: {last}");
    }
    Ok(())
}

/// Reads what `-test.v=test2json` says: lines of the testing package's own begin with a control character.
fn results(said: &str) -> Results {
    let mut results = Results::new();
    for line in said.lines().filter_map(|line| line.split_once('\u{16}')).map(|(_, line)| line) {
        let Some((outcome, rest)) = line.strip_prefix("--- ").and_then(|line| line.split_once(": ")) else {
            continue;
        };
        let name = rest.rsplit_once(" (").map_or(rest, |(name, _)| name);
        *results.entry(name.to_owned()).or_default().entry(outcome.to_owned()).or_default() += 1;
    }
    results
}

#[cfg(test)]
mod tests {
    use super::results;

    #[test]
    fn outcomes_are_read_wherever_they_begin() {
        let said = "\u{16}=== RUN   TestA\nnoise\u{16}--- PASS: TestA (0.01s)\n--- FAIL: TestNoise (0s)\n\
                    \u{16}--- SKIP: TestB/part_(1) (0.00s)\n\u{16}--- PASS: TestA (0.02s)\n";
        let results = results(said);
        assert_eq!(results.keys().collect::<Vec<_>>(), ["TestA", "TestB/part_(1)"]);
        assert_eq!((results["TestA"]["PASS"], results["TestB/part_(1)"]["SKIP"]), (2, 1));
    }
}
