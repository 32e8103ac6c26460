//! `cargo xtask bench attach`: what a running program pays while gotrace looks at its system calls, beside what it
//! pays for strace and perf trace, and how long the user waits.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use super::ensure_root;
use super::figures::{Figures, Table};
use super::server::{Prometheus, Server, requests_per_second};
use super::told::{LOOP, Told};
use super::watchers::{self, Watcher};
use crate::exec::Voice;
use crate::fixtures::{self, Fixture};
use crate::{apt, build};

const VOICE: Voice = Voice("bench");

const SERVER: &str = "nethttp-go1.26.6";
const LARGE: &str = "prometheus";

/// What the tables and lines are called that README's are made of.
pub(super) const CALL: &str = "ns a call of ";
pub(super) const REQUEST: &str = "us a request";
pub(super) const READY: &str = "from gotrace's start to attached";
pub(super) const GONE: &str = "from Ctrl-C to gone";

/// System calls of which the scheduler is not told, of which it is, and that are told to try again.
const CALLS: [&str; 3] = ["getppid", "pread", "eagain"];

/// So many calls at a time: enough to measure the fast ones, and not too many for the slow watchers.
const MANY: u32 = 100_000;
const FEW: u32 = 5_000;

/// The cost of a system call, an HTTP server's throughput, and the way in and out: alone, watched by gotrace and by
/// others, by turns.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many turns
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// How many seconds of requests each turn and watcher
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Only what needs neither strace, perf nor wrk
    #[arg(long)]
    no_peers: bool,
}

impl Args {
    /// Everything, so many turns.
    pub(super) fn whole(turns: u32) -> Self {
        Self { turns, seconds: 2, no_peers: false }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    tables(args).map(|_| ExitCode::SUCCESS)
}

pub(super) fn tables(args: &Args) -> Result<Vec<Table>> {
    ensure_root("attach")?;
    let gotrace = build::gotrace()?;
    let [looping, server, large] = fixtures::named([LOOP, SERVER, LARGE])?;
    let mut watchers = Watcher::ALL.to_vec();
    if args.no_peers {
        watchers.retain(|watcher| !matches!(watcher, Watcher::Strace | Watcher::PerfTrace));
    } else {
        apt::install(VOICE, &["strace", "linux-perf", "wrk"])
            .context("finding the peers; --no-peers leaves them out")?;
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();

    let mut tables = calls(args, &gotrace, &looping, &watchers)?;
    if !args.no_peers {
        tables.push(requests(args, &gotrace, &server, &watchers)?);
    }
    tables.push(way_in_and_out(args, &gotrace, &large)?);
    println!(
        "\nratios: to alone; load average at the beginning: {}",
        load.split(' ').next().unwrap_or_default()
    );
    Ok(tables)
}

/// Nanoseconds a call, by the program's own clock.
fn calls(args: &Args, gotrace: &Path, fixture: &Fixture, watchers: &[Watcher]) -> Result<Vec<Table>> {
    let mut looping = Told::start(fixture)?;
    let mut figures: Vec<[Figures; CALLS.len()]> = watchers.iter().map(|_| Default::default()).collect();
    for turn in 1..=args.turns {
        VOICE.say(format_args!("system calls, turn {turn} of {}", args.turns));
        for (watcher, figures) in watchers.iter().zip(&mut figures) {
            let watching = watcher.begin(gotrace, looping.pid())?;
            let count = if matches!(watcher, Watcher::Strace | Watcher::PerfTrace) { FEW } else { MANY };
            for (call, figures) in CALLS.iter().zip(figures) {
                looping.time(call, FEW)?;
                figures.add(looping.time(call, count)?);
            }
            let (_, said) = watching.end()?;
            let is_blind =
                !matches!(watcher, Watcher::Nobody | Watcher::EmptyPair) && !said.contains(CALLS[0]);
            if is_blind {
                bail!("{} has seen no {}, so nothing was measured: {said}", watcher.name(), CALLS[0]);
            }
        }
    }
    let tables = CALLS.iter().enumerate().map(|(index, call)| {
        let rows = watchers.iter().copied().zip(figures.iter().map(|of_calls| &of_calls[index]));
        watchers::table(&format!("{CALL}{call}"), rows)
    });
    Ok(tables.collect())
}

/// Microseconds a request of a server that is asked all the time.
fn requests(args: &Args, gotrace: &Path, fixture: &Fixture, watchers: &[Watcher]) -> Result<Table> {
    let server = Server::start(fixture)?;
    let mut figures: Vec<Figures> = watchers.iter().map(|_| Figures::default()).collect();
    requests_per_second(&server.url, 1)?;
    for turn in 1..=args.turns {
        VOICE.say(format_args!("requests, turn {turn} of {}", args.turns));
        for (watcher, figures) in watchers.iter().zip(&mut figures) {
            // All see the calls of who asks as well: it is on the same machine.
            let watching = watcher.begin(gotrace, server.pid())?;
            let measured = requests_per_second(&server.url, args.seconds)?;
            watching.end()?;
            figures.add(1e6 / measured);
        }
    }
    Ok(watchers::table(REQUEST, watchers.iter().copied().zip(&figures)))
}

/// From gotrace's start to its word that it is attached, and from Ctrl-C to its end.
fn way_in_and_out(args: &Args, gotrace: &Path, fixture: &Fixture) -> Result<Table> {
    let prometheus = Prometheus::start(fixture)?;
    let [mut ready, mut gone] = [Figures::default(), Figures::default()];
    for _ in 0..args.turns {
        let watching = Watcher::Gotrace.begin(gotrace, prometheus.pid())?;
        ready.push(watching.ready().unwrap_or_default().as_nanos().cast_signed());
        std::thread::sleep(std::time::Duration::from_secs(1));
        gone.push(watching.end()?.0.as_nanos().cast_signed());
    }
    let mut table = Table::new(&format!("ms, {LARGE}"));
    table.row(READY, &ready, None);
    table.row(GONE, &gone, None);
    Ok(table)
}
