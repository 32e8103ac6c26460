//! `cargo xtask bench startup`: how much later main begins under a tracer, and what else the user waits for.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::figures::Figures;
use super::stamp;
use crate::exec::{Voice, is_root, line};
use crate::fixtures::{self, Fixture, Selection};
use crate::{apt, build, cache};

const VOICE: Voice = Voice("bench");

/// A program with symbols, which bpftrace needs, that says when its main began.
const SMALL: &str = "nethttp-go1.26.6";

/// The largest program at hand.
const LARGE: &str = "dockerd";

/// Time to main: untraced, under gotrace, and with bpftrace counting runtime.doInit1, by turns.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many runs of each
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Leave bpftrace out
    #[arg(long)]
    no_bpftrace: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !is_root() {
        bail!(
            "not root: tracing needs it, and sudo would be part of what is measured; run: sudo -E cargo xtask bench startup"
        );
    }
    let bench = Bench::prepare()?;
    if !args.no_bpftrace {
        apt::install(VOICE, &["bpftrace"])
            .context("finding bpftrace, the peer; --no-bpftrace leaves it out")?;
    }

    let [mut untraced, mut traced, mut peer] = [Figures::default(), Figures::default(), Figures::default()];
    let [mut before_start, mut detach] = [Figures::default(), Figures::default()];
    // One run of each for the page cache.
    bench.untraced()?;
    bench.traced()?;
    for turn in 1..=args.runs {
        VOICE.say(format_args!("turn {turn} of {}", args.runs));
        untraced.push(bench.untraced()?);
        traced.push(bench.traced()?);
        if !args.no_bpftrace {
            peer.push(bench.beside_bpftrace()?);
        }
        let (waited, detached) = bench.large()?;
        before_start.push(waited);
        detached.into_iter().for_each(|time| detach.push(time));
    }

    println!(
        "\n{:<44} {:>4} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "ms", "runs", "min", "median", "max", "spread", "ratio"
    );
    let row = |name: &str, figures: &Figures, base: Option<&Figures>| {
        if figures.len() == 0 {
            return;
        }
        let ratio = base.map_or(String::new(), |base| format!("{:.3}", figures.median() / base.median()));
        println!(
            "{name:<44} {:>4} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {ratio:>7}",
            figures.len(),
            figures.min(),
            figures.median(),
            figures.max(),
            figures.spread()
        );
    };
    row("time to main, untraced", &untraced, Some(&untraced));
    row("time to main, gotrace run", &traced, Some(&untraced));
    row("time to main, bpftrace on runtime.doInit1", &peer, Some(&untraced));
    row(&format!("gotrace's start to {LARGE}'s execve"), &before_start, None);
    row(&format!("detach from {LARGE}"), &detach, None);
    println!("\nspread: between the quarters; ratio: of the medians, to untraced");
    Ok(ExitCode::SUCCESS)
}

struct Bench {
    gotrace: PathBuf,
    small: Fixture,
    large: Fixture,
    report: PathBuf,
}

impl Bench {
    fn prepare() -> Result<Self> {
        let gotrace = build::gotrace()?;
        let fixtures = fixtures::read(&fixtures::ensure(&Selection::Named(&[SMALL, LARGE]))?)?;
        let find = |name: &str| {
            let found = fixtures.iter().find(|fixture| fixture.name == name).cloned();
            found.with_context(|| format!("the fixture {name} is not there"))
        };
        let report = cache::folder("bench")?.join(format!("{}.ndjson", std::process::id()));
        Ok(Self { gotrace, small: find(SMALL)?, large: find(LARGE)?, report })
    }

    fn untraced(&self) -> Result<i128> {
        let (start, output) = stamp::run(&mut Command::new(&self.small.path))?;
        Ok(main_began(&output.stdout)? - start)
    }

    fn traced(&self) -> Result<i128> {
        let mut command = Command::new(&self.gotrace);
        command.args(["run", "-q", "-o"]).arg(&self.report).arg("--").arg(&self.small.path);
        let (_, output) = stamp::run(&mut command)?;
        if !output.status.success() {
            bail!("{} failed: {}", line(&command), String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(main_began(&output.stdout)? - started(&self.report)?)
    }

    fn beside_bpftrace(&self) -> Result<i128> {
        let peer = Bpftrace::attach(&self.small.path)?;
        let measured = self.untraced();
        peer.detach()?;
        measured
    }

    /// How long the user waits for the large program's execve, and for the detach after its end.
    fn large(&self) -> Result<(i128, Option<i128>)> {
        let mut command = Command::new(&self.gotrace);
        command
            .args(["run", "-v", "-o"])
            .arg(&self.report)
            .arg("--")
            .arg(&self.large.path)
            .args(&self.large.args);
        let (start, output) = stamp::run(&mut command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{} failed: {}", line(&command), said.trim_end());
        }
        Ok((started(&self.report)? - start, detached(&said)))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Nothing depends on it.
        drop(fs::remove_file(&self.report));
    }
}

/// The wall-clock time of the first statement of main, as the fixture prints it.
fn main_began(stdout: &[u8]) -> Result<i128> {
    let text = String::from_utf8_lossy(stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("main.main unix_ns="));
    line.context("the fixture did not say when its main began")?.parse().context("reading the fixture's time")
}

/// The wall-clock time of the execve, from a report's header.
fn started(report: &Path) -> Result<i128> {
    let file = fs::File::open(report).with_context(|| format!("opening {}", report.display()))?;
    let mut header = String::new();
    BufReader::new(file).read_line(&mut header).with_context(|| format!("reading {}", report.display()))?;
    let header: Value = serde_json::from_str(&header).context("reading the report's header")?;
    header["wall_clock_unix_ns"]
        .as_i64()
        .map(i128::from)
        .context("the report's header has no wall_clock_unix_ns")
}

/// The time in gotrace's line "detached in 12.3 ms".
fn detached(stderr: &str) -> Option<i128> {
    let (_, rest) = stderr.split_once("detached in ")?;
    let milliseconds: f64 = rest.split_once(" ms")?.0.trim().parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "some milliseconds")]
    Some((milliseconds * 1e6) as i128)
}

/// bpftrace with one uprobe that counts.
struct Bpftrace {
    child: Child,
}

impl Bpftrace {
    fn attach(binary: &str) -> Result<Self> {
        let mut command = Command::new("bpftrace");
        command.arg("-e").arg(format!(
            r#"BEGIN {{ printf("attached\n"); }} uprobe:{binary}:runtime.doInit1 {{ @inits = count(); }}"#
        ));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("starting {}", line(&command)))?;
        let output = child.stdout.take().context("bpftrace's output was piped")?;
        let attached = BufReader::new(output).lines().map_while(Result::ok).any(|line| line == "attached");
        if !attached {
            bail!("bpftrace ended before it was attached: {}", child.wait()?);
        }
        // BEGIN runs first of all probes, so the other one may still be on its way.
        thread::sleep(Duration::from_millis(300));
        Ok(Self { child })
    }

    fn detach(mut self) -> Result<()> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-INT", &id]).status().context("interrupting bpftrace")?;
        self.child.wait().context("waiting for bpftrace's end")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{detached, main_began};

    #[test]
    fn what_programs_say_is_read() {
        assert_eq!(main_began(b"x\nmain.main unix_ns=17\n").unwrap(), 17);
        assert!(main_began(b"main.main\n").is_err());
        assert_eq!(detached("note: 3 sites\ndetached in 12.5 ms\n"), Some(12_500_000));
        assert_eq!(detached("nothing"), None);
    }
}
