//! `cargo xtask bench startup`: how much later main begins under a tracer, and what else the user waits for.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::bpftrace::{Bpftrace, Does};
use super::figures::{Figures, Table};
use super::stamp;
use crate::exec::{self, Voice, is_root, line};
use crate::fixtures::{self, Fixture};
use crate::{apt, build, cache};

const VOICE: Voice = Voice("bench");

/// A program with symbols, which bpftrace needs, that says when its main began.
const SMALL: &str = "nethttp-go1.26.6";

/// The same without symbols: only then does bpftrace take an instruction.
const STRIPPED: &str = "nethttp-go1.26.6-stripped";

/// The largest program at hand.
const LARGE: &str = "dockerd";

/// Real programs, which do not say when their main begins: their whole run is measured, of which main is the lesser
/// part.
const WHOLE: [&str; 2] = ["esbuild", "prometheus"];

/// The small program is measured in milliseconds, so it is run more often.
const RUNS_A_TURN: usize = 5;

/// How the small program is run.
#[derive(Clone, Copy)]
enum Way {
    Untraced,
    Traced,
    Lean,
}

/// In every order, one after the other: what one run leaves to the machine to do is on the time of the next.
const ORDERS: [[Way; 3]; 6] = {
    use Way::{Lean, Traced, Untraced};
    [
        [Untraced, Traced, Lean],
        [Lean, Untraced, Traced],
        [Traced, Lean, Untraced],
        [Lean, Traced, Untraced],
        [Untraced, Lean, Traced],
        [Traced, Untraced, Lean],
    ]
};

/// Time to main: untraced, under gotrace (also with --lean), and with bpftrace counting runtime.doInit1, by turns.
/// bpftrace does so at the function's entry, and also at the instruction that gotrace chooses, where next to nothing
/// is left but the trap.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many turns: five runs of the small program each way, one of the large
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Leave bpftrace out
    #[arg(long)]
    no_bpftrace: bool,
}

impl Args {
    /// Everything, so many turns.
    pub(super) fn whole(turns: u32) -> Self {
        Self { turns, no_bpftrace: false }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    table(args).map(|_| ExitCode::SUCCESS)
}

pub(super) fn table(args: &Args) -> Result<Table> {
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

    let [mut untraced, mut traced, mut lean, mut peer] = <[Figures; 4]>::default();
    let [mut stripped, mut trap] = <[Figures; 2]>::default();
    let mut whole: Vec<[Figures; 2]> = bench.whole.iter().map(|_| <[Figures; 2]>::default()).collect();
    let [mut before_start, mut detach] = [Figures::default(), Figures::default()];
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    // One run of each for the page cache.
    untraced_run(&bench.small)?;
    bench.traced(&[])?;
    for turn in 1..=args.turns {
        VOICE.say(format_args!("turn {turn} of {}", args.turns));
        for run in 0..RUNS_A_TURN {
            for way in ORDERS[(turn as usize * RUNS_A_TURN + run) % ORDERS.len()] {
                match way {
                    Way::Untraced => untraced.push(untraced_run(&bench.small)?),
                    Way::Traced => traced.push(bench.traced(&[])?),
                    Way::Lean => lean.push(bench.traced(&["--lean"])?),
                }
            }
        }
        for (fixture, [alone, traced]) in bench.whole.iter().zip(&mut whole) {
            alone.push(bench.whole_run(fixture)?);
            traced.push(bench.whole_run_traced(fixture)?);
        }
        if !args.no_bpftrace {
            beside_bpftrace(&bench.small, "runtime.doInit1", &mut peer)?;
            for _ in 0..RUNS_A_TURN {
                stripped.push(untraced_run(&bench.stripped)?);
            }
            beside_bpftrace(&bench.stripped, &bench.init_site.to_string(), &mut trap)?;
        }
        let (waited, detached) = bench.large()?;
        before_start.push(waited);
        detached.into_iter().for_each(|time| detach.push(time));
    }

    let mut table = Table::new("ms of a start");
    table.row("time to main, untraced", &untraced, None);
    table.row("time to main, gotrace run", &traced, Some(&untraced));
    table.row("time to main, gotrace run --lean", &lean, Some(&untraced));
    table.row("time to main, bpftrace on runtime.doInit1", &peer, Some(&untraced));
    table.row("time to main, stripped, untraced", &stripped, None);
    table.row("time to main, stripped, bpftrace on gotrace's site", &trap, Some(&stripped));
    for (fixture, [alone, traced]) in bench.whole.iter().zip(&whole) {
        let run = format!("{} {}, whole run", fixture.name, fixture.args.join(" "));
        table.row(&format!("{run}, untraced"), alone, None);
        table.row(&format!("{run}, gotrace run"), traced, Some(alone));
    }
    table.row(&format!("gotrace's start to {LARGE}'s execve"), &before_start, None);
    table.row(&format!("detach from {LARGE}"), &detach, None);
    println!("\nspread: between the quarters; ratios: to untraced; load average at the beginning: {load}");
    Ok(table)
}

struct Bench {
    gotrace: PathBuf,
    small: Fixture,
    stripped: Fixture,
    /// Where in the stripped program's file gotrace's site in `runtime.doInit1` is.
    init_site: u64,
    large: Fixture,
    whole: Vec<Fixture>,
    report: PathBuf,
}

impl Bench {
    fn prepare() -> Result<Self> {
        let gotrace = build::gotrace()?;
        let [small, stripped, large] = fixtures::named([SMALL, STRIPPED, LARGE])?;
        let whole = fixtures::named(WHOLE)?.into();
        let report = cache::folder("bench")?.join(format!("{}.ndjson", std::process::id()));
        let init_site = init_site(&gotrace, &stripped)?;
        Ok(Self { gotrace, small, stripped, init_site, large, whole, report })
    }

    /// From the execve to the end as the parent sees it, which is some ten microseconds after the kernel's.
    fn whole_run(&self, fixture: &Fixture) -> Result<i128> {
        let mut command = Command::new(&fixture.path);
        let (start, _) = stamp::run(command.args(&fixture.args))?;
        Ok(stamp::wall_clock() - start)
    }

    /// The same by the traced program's own report.
    fn whole_run_traced(&self, fixture: &Fixture) -> Result<i128> {
        let mut command = Command::new(&self.gotrace);
        command.args(["run", "-q", "--until", "exit", "-o"]).arg(&self.report).arg("--").arg(&fixture.path);
        stamp::run(command.args(&fixture.args))?;
        let lines = fs::read_to_string(&self.report).context("reading the report")?;
        let lines: Vec<Value> = lines.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
        let main = lines.iter().find(|line| line["type"] == "phase" && line["name"] == "main");
        let end = main.and_then(|main| Some(main["start_ns"].as_i64()? + main["duration_ns"].as_i64()?));
        let start = lines.first().and_then(|header| header["start_ns"].as_i64());
        let (Some(start), Some(end)) = (start, end) else { bail!("{}'s report has no end", fixture.name) };
        Ok(i128::from(end - start))
    }

    fn traced(&self, options: &[&str]) -> Result<i128> {
        let mut command = Command::new(&self.gotrace);
        command.args(["run", "-q"]).args(options).arg("-o").arg(&self.report).arg("--").arg(&self.small.path);
        let (_, output) = stamp::run(&command)?;
        if !output.status.success() {
            bail!("{} failed: {}", line(&command), String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(main_began(&output.stdout)? - started(&self.report)?)
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
        let (start, output) = stamp::run(&command)?;
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

fn untraced_run(fixture: &Fixture) -> Result<i128> {
    let (start, output) = stamp::run(&Command::new(&fixture.path))?;
    Ok(main_began(&output.stdout)? - start)
}

fn beside_bpftrace(fixture: &Fixture, place: &str, figures: &mut Figures) -> Result<()> {
    let peer = Bpftrace::attach(&fixture.path, &[place], Does::Count)?;
    let mut measured = Ok(());
    for _ in 0..RUNS_A_TURN {
        measured = measured.and_then(|()| untraced_run(fixture).map(|time| figures.push(time)));
    }
    let hits = peer.detach()?;
    if hits == 0 {
        bail!("bpftrace counted nothing at {place}, so it measured nothing");
    }
    measured
}

/// The offset in the file of the instruction that gotrace probes for package inits.
fn init_site(gotrace: &Path, fixture: &Fixture) -> Result<u64> {
    let said = exec::text(Command::new(gotrace).args(["inspect", "--json"]).arg(&fixture.path))?;
    let binary: Value = serde_json::from_str(&said).context("reading what gotrace inspect says")?;
    let hooks = binary["hooks"].as_array().context("gotrace inspect names no hooks")?;
    let init = hooks.iter().find(|hook| hook["hook"] == "init");
    init.and_then(|hook| hook["site"]["file_offset"].as_u64()).context("gotrace has no site for inits")
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
