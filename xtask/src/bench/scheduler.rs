//! `cargo xtask bench scheduler`: what a program pays that parks its goroutines all the time, and what one pays that
//! gotrace does not look at, each time that the kernel runs another of its threads.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use super::bpftrace::{Bpftrace, Does};
use super::figures::{Figures, Table};
use super::told::{LOOP, Told};
use super::watchers::Watcher;
use crate::exec::{Voice, is_root};
use crate::fixtures::{self, Fixture, Selection};
use crate::{apt, build};

const VOICE: Voice = Voice("bench");

/// The functions that `gotrace attach --waits` has probes in.
const HOOKED: [&str; 3] = ["runtime.gopark", "runtime.ready", "runtime.execute"];

const WATCHERS: [Watcher; 3] = [Watcher::Nobody, Watcher::Gotrace, Watcher::GotraceWaits];
const PEERS: [(Does, &str); 2] = [
    (Does::Nothing, "bpftrace, empty, in --waits' functions"),
    (Does::Count, "bpftrace, counting, in --waits' functions"),
];

/// The cost of a channel's way there and back, and of a pipe's in a process that is not looked at: alone, under gotrace
/// and under bpftrace, by turns.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many turns
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// How many ways there and back each turn and watcher
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Only what does not need bpftrace
    #[arg(long)]
    no_peers: bool,
}

impl Args {
    /// Everything, so many turns.
    pub(super) fn whole(turns: u32) -> Self {
        Self { turns, count: 50_000, no_peers: false }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    tables(args).map(|_| ExitCode::SUCCESS)
}

pub(super) fn tables(args: &Args) -> Result<Vec<Table>> {
    if !is_root() {
        bail!("not root: tracing needs it; run: sudo -E cargo xtask bench scheduler");
    }
    let gotrace = build::gotrace()?;
    if !args.no_peers {
        apt::install(VOICE, &["bpftrace"]).context("finding the peer; --no-peers leaves it out")?;
    }
    let all = fixtures::read(&fixtures::ensure(&Selection::Named(&[LOOP]))?)?;
    let fixture = all.iter().find(|fixture| fixture.name == LOOP);
    let fixture = fixture.with_context(|| format!("{LOOP} is not there"))?;
    Ok(vec![over_channels(args, &gotrace, fixture)?, over_pipes(args, &gotrace, fixture)?])
}

fn over_channels(args: &Args, gotrace: &Path, fixture: &Fixture) -> Result<Table> {
    let mut looping = Told::start(fixture)?;
    let mut figures = WATCHERS.map(|_| Figures::default());
    let mut of_peers = PEERS.map(|_| Figures::default());
    looping.time("channel", args.count)?;
    for turn in 1..=args.turns {
        VOICE.say(format_args!("channels, turn {turn} of {}", args.turns));
        for (watcher, figures) in WATCHERS.iter().zip(&mut figures) {
            let watching = watcher.begin(gotrace, looping.pid())?;
            figures.add(looping.time("channel", args.count)?);
            watching.end()?;
        }
        for ((does, _), figures) in PEERS.iter().zip(&mut of_peers).filter(|_| !args.no_peers) {
            let peer = Bpftrace::attach(&fixture.path, &HOOKED, *does)?;
            figures.add(looping.time("channel", args.count)?);
            if peer.detach()? == 0 && *does == Does::Count {
                bail!("bpftrace counted nothing, so it measured nothing");
            }
        }
    }
    let mut table = Table::new("ns there and back over channels");
    for (watcher, row) in WATCHERS.iter().zip(&figures) {
        table.row(watcher.name(), row, figures.first().filter(|_| *watcher != Watcher::Nobody));
    }
    for ((_, name), row) in PEERS.iter().zip(&of_peers) {
        table.row(name, row, figures.first());
    }
    Ok(table)
}

/// gotrace looks at one process, and another is measured.
fn over_pipes(args: &Args, gotrace: &Path, fixture: &Fixture) -> Result<Table> {
    let (looked_at, mut looping) = (Told::start(fixture)?, Told::start(fixture)?);
    let mut figures = WATCHERS.map(|_| Figures::default());
    looping.time("pipe", args.count)?;
    for turn in 1..=args.turns {
        VOICE.say(format_args!("pipes, turn {turn} of {}", args.turns));
        for (watcher, figures) in WATCHERS.iter().zip(&mut figures) {
            let watching = watcher.begin(gotrace, looked_at.pid())?;
            figures.add(looping.time("pipe", args.count)?);
            watching.end()?;
        }
    }
    let mut table = Table::new("ns there and back over pipes, another process");
    for (watcher, row) in WATCHERS.iter().zip(&figures) {
        table.row(watcher.name(), row, figures.first().filter(|_| *watcher != Watcher::Nobody));
    }
    Ok(table)
}
