//! `cargo xtask bench scheduler`: what a program pays that parks its goroutines all the time, and what one pays that
//! gotrace does not look at, each time that the kernel runs another of its threads.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::bpftrace::{Bpftrace, Does};
use super::ensure_root;
use super::figures::{Figures, Table};
use super::told::{LOOP, Told};
use super::watchers::{self, Watcher};
use crate::exec::{self, Voice};
use crate::fixtures::{self, Fixture};
use crate::{apt, build};

const VOICE: Voice = Voice("bench");

/// The functions that `gotrace attach --waits` has probes in.
const HOOKED: [&str; 3] = ["runtime.gopark", "runtime.ready", "runtime.execute"];

const OF_CHANNELS: [Watcher; 4] =
    [Watcher::Nobody, Watcher::Gotrace, Watcher::GotraceWaits, Watcher::GotraceEveryWait];
const OF_PIPES: [Watcher; 3] = [Watcher::Nobody, Watcher::Gotrace, Watcher::GotraceWaits];

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
    ensure_root("scheduler")?;
    let gotrace = build::gotrace()?;
    if !args.no_peers {
        apt::install(VOICE, &["bpftrace"]).context("finding the peer; --no-peers leaves it out")?;
    }
    let [fixture] = fixtures::named([LOOP])?;
    Ok(vec![over_channels(args, &gotrace, &fixture)?, over_pipes(args, &gotrace, &fixture)?])
}

fn over_channels(args: &Args, gotrace: &Path, fixture: &Fixture) -> Result<Table> {
    let stripped = Stripped::of(gotrace, fixture)?;
    let sites: Vec<&str> = stripped.sites.iter().map(String::as_str).collect();
    // Whether in the copy, where, what each hit does there, and how it is called.
    let peers: [(bool, &[&str], Does, &str); 3] = [
        (true, &sites, Does::Nothing, "bpftrace, empty, at --waits' instructions"),
        (false, &HOOKED, Does::Nothing, "bpftrace, empty, in --waits' functions"),
        (false, &HOOKED, Does::Count, "bpftrace, counting, in --waits' functions"),
    ];
    let (mut looping, mut in_stripped) = (Told::start(fixture)?, Told::start(&stripped.fixture)?);
    let mut figures = OF_CHANNELS.map(|_| Figures::default());
    let mut of_peers = peers.map(|_| Figures::default());
    looping.time("channel", args.count)?;
    in_stripped.time("channel", args.count)?;
    for turn in 1..=args.turns {
        VOICE.say(format_args!("channels, turn {turn} of {}", args.turns));
        watched(gotrace, looping.pid(), &OF_CHANNELS, &mut figures, || looping.time("channel", args.count))?;
        for ((in_copy, places, does, _), figures) in
            peers.iter().zip(&mut of_peers).filter(|_| !args.no_peers)
        {
            let (of, told) =
                if *in_copy { (&stripped.fixture, &mut in_stripped) } else { (fixture, &mut looping) };
            let peer = Bpftrace::attach(&of.path, places, *does)?;
            figures.add(told.time("channel", args.count)?);
            if peer.detach()? == 0 && *does == Does::Count {
                bail!("bpftrace counted nothing, so it measured nothing");
            }
        }
    }
    let rows = OF_CHANNELS.into_iter().zip(&figures);
    let mut table = watchers::table("ns there and back over channels", rows);
    for ((.., name), row) in peers.iter().zip(&of_peers) {
        table.row(name, row, figures.first());
    }
    Ok(table)
}

/// gotrace looks at one process, and another is measured.
fn over_pipes(args: &Args, gotrace: &Path, fixture: &Fixture) -> Result<Table> {
    let (looked_at, mut looping) = (Told::start(fixture)?, Told::start(fixture)?);
    let mut figures = OF_PIPES.map(|_| Figures::default());
    looping.time("pipe", args.count)?;
    for turn in 1..=args.turns {
        VOICE.say(format_args!("pipes, turn {turn} of {}", args.turns));
        watched(gotrace, looked_at.pid(), &OF_PIPES, &mut figures, || looping.time("pipe", args.count))?;
    }
    let rows = OF_PIPES.into_iter().zip(&figures);
    Ok(watchers::table("ns there and back over pipes, another process", rows))
}

/// Has each of them look at the process, and measures meanwhile.
fn watched(
    gotrace: &Path,
    pid: u32,
    watchers: &[Watcher],
    figures: &mut [Figures],
    mut measure: impl FnMut() -> Result<f64>,
) -> Result<()> {
    for (watcher, figures) in watchers.iter().zip(figures) {
        let watching = watcher.begin(gotrace, pid)?;
        figures.add(measure()?);
        watching.end()?;
    }
    Ok(())
}

/// A copy without symbols, in whose instructions bpftrace puts probes.
struct Stripped {
    fixture: Fixture,
    /// The offsets in the file of the instructions that gotrace has chosen.
    sites: Vec<String>,
    _folder: TempDir,
}

impl Stripped {
    fn of(gotrace: &Path, fixture: &Fixture) -> Result<Self> {
        let said = exec::text(Command::new(gotrace).args(["inspect", "--json"]).arg(&fixture.path))?;
        let binary: Value = serde_json::from_str(&said).context("reading what gotrace inspect says")?;
        let hooks = binary["hooks"].as_array().context("gotrace inspect names no hooks")?;
        let of_waits = hooks.iter().filter(|hook| hook["of"] == "waits");
        let sites: Vec<String> =
            of_waits.filter_map(|hook| Some(hook["site"]["file_offset"].as_u64()?.to_string())).collect();
        if sites.len() != HOOKED.len() {
            bail!("gotrace has {} sites for --waits, and not {}", sites.len(), HOOKED.len());
        }
        let folder = tempfile::tempdir().context("creating a folder for a program")?;
        let path = folder.path().join("stripped");
        fs::copy(&fixture.path, &path).with_context(|| format!("copying {}", fixture.path))?;
        let mut file = File::options().write(true).open(&path)?;
        // No sections: `e_shoff`, and `e_shnum` with `e_shstrndx` (elf(5)).
        for (at, zeroes) in [(0x28, 8), (0x3c, 4)] {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&vec![0; zeroes])?;
        }
        let path = path.to_str().context("a path of letters")?.to_owned();
        Ok(Self { fixture: Fixture { path, ..fixture.clone() }, sites, _folder: folder })
    }
}
