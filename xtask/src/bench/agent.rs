//! `cargo xtask bench agent`: what gotrace itself takes while it is attached: to a process that rests, to one of which
//! 200 000 system calls a second are told one by one, and to a large program.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::ensure_root;
use super::figures::{Figures, Table};
use super::server::Prometheus;
use super::told::{LOOP, Told};
use super::watchers::Watcher;
use crate::build;
use crate::exec::Voice;
use crate::fixtures::{self, Fixture};

const VOICE: Voice = Voice("bench");

const LARGE: &str = "prometheus";

/// The fixture makes so many calls a second when it is told to make them at a pace.
const PACE: u32 = 200_000;

/// What gotrace itself takes: processor time, wake-ups and memory, at rest and with 200 000 calls a second, each told
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// How many seconds each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    seconds: u32,
}

impl Args {
    /// So many turns.
    pub(super) fn whole(turns: u32) -> Self {
        Self { turns, seconds: 5 }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    tables(args).map(|_| ExitCode::SUCCESS)
}

pub(super) fn tables(args: &Args) -> Result<Vec<Table>> {
    ensure_root("agent")?;
    let gotrace = build::gotrace()?;
    let [looping, large] = fixtures::named([LOOP, LARGE])?;
    Ok(vec![
        at_rest(args, &gotrace, &looping)?,
        each_told(args, &gotrace, &looping)?,
        memory(args, &gotrace, &large)?,
    ])
}

fn at_rest(args: &Args, gotrace: &Path, fixture: &Fixture) -> Result<Table> {
    let looping = Told::start(fixture)?;
    let [mut busy, mut woken] = [(); 2].map(|()| Figures::default());
    for turn in 1..=args.turns {
        VOICE.say(format_args!("at rest, turn {turn} of {}", args.turns));
        let watching = Watcher::Gotrace.begin(gotrace, looping.pid())?;
        let pid = watching.pid().context("gotrace is a process")?;
        // It looks more often as long as something may come.
        std::thread::sleep(Duration::from_secs(2));
        let taken = Taken::while_done(pid, || {
            std::thread::sleep(Duration::from_secs(args.seconds.into()));
            Ok(())
        })?;
        watching.end()?;
        busy.add(taken.busy());
        woken.add(taken.woken());
    }
    let mut table = Table::new("gotrace attach itself, the process rests");
    table.row("% of a processor", &busy, None);
    table.row("wake-ups a second", &woken, None);
    Ok(table)
}

fn each_told(args: &Args, gotrace: &Path, fixture: &Fixture) -> Result<Table> {
    let mut looping = Told::start(fixture)?;
    let [mut rate, mut lost, mut busy, mut woken] = [(); 4].map(|()| Figures::default());
    let count = PACE * args.seconds;
    for turn in 1..=args.turns {
        VOICE.say(format_args!("each call told, turn {turn} of {}", args.turns));
        let watching = Watcher::GotraceEach.begin(gotrace, looping.pid())?;
        let pid = watching.pid().context("gotrace is a process")?;
        let mut each = 0.0;
        let taken = Taken::while_done(pid, || {
            each = looping.time("paced", count)?;
            Ok(())
        })?;
        let (_, said) = watching.end()?;
        let (hits, dropped) = told(&said)?;
        if hits < count.into() {
            bail!("gotrace was told of {hits} of {count} calls, so nothing was measured");
        }
        rate.add(1e9 / each);
        #[expect(clippy::cast_precision_loss, reason = "some millions")]
        lost.add(dropped as f64);
        busy.add(taken.busy());
        woken.add(taken.woken());
    }
    let mut table = Table::new("gotrace attach --slow 0s itself, each call told");
    table.row("calls a second", &rate, None);
    table.row("lost", &lost, None);
    table.row("% of a processor", &busy, None);
    table.row("wake-ups a second", &woken, None);
    Ok(table)
}

fn memory(args: &Args, gotrace: &Path, fixture: &Fixture) -> Result<Table> {
    let large = Prometheus::start(fixture)?;
    let [mut resident, mut most] = [(); 2].map(|()| Figures::default());
    for _ in 0..args.turns {
        let watching = Watcher::Gotrace.begin(gotrace, large.pid())?;
        std::thread::sleep(Duration::from_secs(1));
        let status = status(watching.pid().context("gotrace is a process")?)?;
        watching.end()?;
        resident.add(number(&status, "VmRSS:")? / 1e3);
        most.add(number(&status, "VmHWM:")? / 1e3);
    }
    let mut table = Table::new(&format!("MB of gotrace attach itself, {LARGE}"));
    table.row("resident", &resident, None);
    table.row("resident at most", &most, None);
    Ok(table)
}

/// What a process took while something was done.
struct Taken {
    time: Duration,
    /// Nanoseconds of a processor.
    on_cpu: f64,
    switches: f64,
}

impl Taken {
    fn while_done(pid: u32, done: impl FnOnce() -> Result<()>) -> Result<Self> {
        let (began, before) = (Instant::now(), taken(pid)?);
        done()?;
        let after = taken(pid)?;
        Ok(Self { time: began.elapsed(), on_cpu: after[0] - before[0], switches: after[1] - before[1] })
    }

    /// In hundredths of a processor.
    fn busy(&self) -> f64 {
        self.on_cpu / 1e7 / self.time.as_secs_f64()
    }

    /// A second.
    fn woken(&self) -> f64 {
        self.switches / self.time.as_secs_f64()
    }
}

/// Nanoseconds that a process's threads were on a processor, and how often they went to sleep, and so were woken.
fn taken(pid: u32) -> Result<[f64; 2]> {
    let mut all = [0.0; 2];
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("listing gotrace's threads")? {
        let folder = thread?.path();
        let read = |name: &str| fs::read_to_string(folder.join(name));
        // One that ends meanwhile takes its figures with it.
        let (Ok(stat), Ok(status)) = (read("schedstat"), read("status")) else { continue };
        let on_cpu = stat.split(' ').next().and_then(|first| first.parse::<f64>().ok());
        all[0] += on_cpu.context("the kernel does not say how long a thread ran")?;
        all[1] += number(&status, "voluntary_ctxt_switches:")?;
    }
    Ok(all)
}

fn status(pid: u32) -> Result<String> {
    fs::read_to_string(format!("/proc/{pid}/status")).context("reading gotrace's status")
}

/// What a line of a status says.
fn number(status: &str, name: &str) -> Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    number.with_context(|| format!("a status without {name}"))
}

/// How many calls the report was told of one by one, and how many of them were lost.
fn told(report: &str) -> Result<(u64, u64)> {
    let mut lines = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let loss = lines.find(|line| line["type"] == "loss" && line["probe"] == "slow");
    let loss = loss.context("the report does not say what was lost of slow calls")?;
    let field = |name: &str| loss[name].as_u64().with_context(|| format!("the loss has no {name}"));
    Ok((field("hits")?, field("dropped")?))
}
