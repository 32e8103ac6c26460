//! `cargo xtask bench gc`: what a running program pays for each cycle of its garbage collector that gotrace tells of,
//! and how much less it gets done with 200 of them a second.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use super::ensure_root;
use super::figures::{Figures, Table};
use super::told::Told;
use super::watchers::{self, Watcher};
use crate::build;
use crate::exec::Voice;
use crate::fixtures;

const VOICE: Voice = Voice("bench");

const FIXTURE: &str = "collector-go1.26.6";

/// So many cycles a second, when the program is alone.
const RATE: u32 = 200;

/// What the table is called that README's line is made of.
pub(super) const CYCLE: &str = "us in runtime.GC a cycle";

const WATCHERS: [Watcher; 3] = [Watcher::Nobody, Watcher::GotraceWithoutGc, Watcher::Gotrace];

/// The cost of a garbage collection, and throughput at 200 a second: alone, under `gotrace attach --no-gc`, and under
/// `gotrace attach`, by turns.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many turns
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// How many cycles each turn and watcher
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    cycles: u32,
}

impl Args {
    /// So many turns.
    pub(super) fn whole(turns: u32) -> Self {
        Self { turns, cycles: 400 }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    tables(args).map(|_| ExitCode::SUCCESS)
}

pub(super) fn tables(args: &Args) -> Result<Vec<Table>> {
    ensure_root("gc")?;
    let gotrace = build::gotrace()?;
    let [fixture] = fixtures::named([FIXTURE])?;
    let mut collector = Told::start(&fixture)?;
    // The first finds out how much work there is to do between two cycles.
    collect(&mut collector, args.cycles)?;
    let [mut cycle, mut all] = [(); 2].map(|()| WATCHERS.map(|_| Figures::default()));
    for turn in 1..=args.turns {
        VOICE.say(format_args!("turn {turn} of {}", args.turns));
        for (index, watcher) in WATCHERS.iter().enumerate() {
            let watching = watcher.begin(&gotrace, collector.pid())?;
            let took = collect(&mut collector, args.cycles)?;
            let (_, said) = watching.end()?;
            let seen = said.lines().filter(|line| line.starts_with(r#"{"type":"gc","#)).count();
            if *watcher == Watcher::Gotrace && seen < args.cycles as usize {
                bail!("gotrace has seen {seen} of {} cycles, so nothing was measured: {said}", args.cycles);
            }
            cycle[index].add(took.cycle_ns / 1e3);
            all[index].add(took.second_ns / 1e6);
        }
    }
    let cycle = watchers::table(CYCLE, WATCHERS.into_iter().zip(&cycle));
    let title = format!("ms for {RATE} cycles and the work between them");
    let all = watchers::table(&title, WATCHERS.into_iter().zip(&all));
    println!("\nratios: to alone; what gotrace attach --no-gc costs is for the system calls and profiles");
    Ok(vec![cycle, all])
}

/// By the program's own clock.
struct Took {
    /// Nanoseconds that one call of `runtime.GC` took.
    cycle_ns: f64,
    /// Nanoseconds for as many cycles as there would be in a second, and the work between them.
    second_ns: f64,
}

fn collect(collector: &mut Told, cycles: u32) -> Result<Took> {
    let said = collector.ask(&format!("rate {RATE} {cycles}"))?;
    let of = |field: &str| {
        let nanos = said["details"][field].as_f64();
        nanos.with_context(|| format!("the fixture says no {field}: {said}"))
    };
    let each = |nanos: f64| nanos / f64::from(cycles);
    Ok(Took { cycle_ns: each(of("in_gc_ns")?), second_ns: each(of("total_ns")?) * f64::from(RATE) })
}
