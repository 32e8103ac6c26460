//! `gotrace report FILE`: any report of a capture again, in any format.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use regex::Regex;

use super::flame::{By, Flame};
use super::followed;
use super::open::Opener;
use super::order::Sort;
use super::output::{self, Outputs, format_name};
use super::repeated::Repeated;
use super::{Common, Exit};
use crate::capture::Replay;
use crate::capture::record::Verb;
use crate::export::{Format, History, InitOrder, Told, View};

/// Show a capture again: any report, in any format
///
/// FILE is a capture that -o FILE.gotrace wrote. The reports are, byte for byte, those that could have been written when
/// it was recorded. Needs neither privileges nor the program, and works on any machine.
///
/// Of a session that was killed there is FILE.part, which holds everything up to a second before.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  sudo gotrace run -o start.gotrace -- ./server
  gotrace report start.gotrace
  gotrace report start.gotrace -o start.svg -o start.ndjson
  gotrace report --sort order --top 0 start.gotrace

Exit codes: 0 when the report is whole; 1 when the file cannot be read, is no capture or is damaged, 5 when it ends
early or data was lost when it was recorded.")]
pub(super) struct Args {
    /// The capture
    file: PathBuf,
    /// Write the report to FILE; the format follows from its name. Repeatable; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Write every report in this format
    #[arg(short, long, value_parser = format_name(), conflicts_with = "json")]
    format: Option<Format>,
    /// One JSON object a line instead of text
    #[arg(long)]
    json: bool,
    /// Show the page or the flame graph (-o FILE.html, FILE.svg) when it is written, as the user who called sudo if one did
    #[arg(long)]
    open: bool,
    /// The order of the inits in text [default: as when it was recorded]
    #[arg(long, value_enum, hide_default_value = true)]
    sort: Option<Sort>,
    /// How many inits to show in text; 0 for all [default: as when it was recorded]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// What flame graphs of a running program show
    #[arg(long, value_enum, value_name = "WHAT", default_value = "blocked")]
    flame: Flame,
    /// What is at their bottom
    #[arg(long, value_enum, value_name = "WHAT", default_value = "stack")]
    by: By,
    /// Show only what matches in a flame graph (-o FILE.svg, FILE.folded): phases, packages, functions
    #[arg(long, value_name = "REGEX")]
    focus: Option<Regex>,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    let replay = open(&args.file)?;
    let outputs = Outputs::open(&args.output, args.json, args.format)?;
    let file = args.file.display();
    anyhow::ensure!(!outputs.records(), "a capture is not made from a capture: copy {file}");
    let opener = args.open.then(|| Opener::of(outputs.shown())).transpose()?;
    let exit = tell(args, common, replay, outputs)?;
    if let Some(opener) = opener {
        opener.show(common);
    }
    Ok(exit)
}

/// Writes what the capture tells.
fn tell(args: &Args, common: &Common, mut replay: Source, outputs: Outputs) -> anyhow::Result<Exit> {
    let shown = || args.file.display().to_string();
    let incomplete = match replay.begin.verb {
        Verb::Run => runs(args, &mut replay, outputs),
        Verb::Watch => watched(args, &mut replay, outputs),
        Verb::Attach => return followed(args, common, replay, outputs),
    }?;
    if !replay.is_whole() {
        common.note(&format!("{} ends early: gotrace was killed, or the file was cut", shown()));
        return Ok(Exit::Incomplete);
    }
    Ok(if incomplete { Exit::Incomplete } else { Exit::Ok })
}

/// Opens a capture.
pub(super) fn open(path: &Path) -> anyhow::Result<Replay<BufReader<File>>> {
    let shown = || path.display().to_string();
    let file = File::open(path).with_context(shown)?;
    Replay::new(BufReader::new(file)).with_context(shown)
}

/// What `gotrace run` recorded. Returns whether data was lost.
fn runs(args: &Args, replay: &mut Source, mut outputs: Outputs) -> anyhow::Result<bool> {
    outputs.ensure(History::Start)?;
    let view = view(args, replay);
    let mut repeated = Repeated::default();
    while let Some(report) = next(args, replay)? {
        if outputs.has(Format::Gctrace) && report.gc.is_none() {
            anyhow::bail!("{} has nothing of the garbage collector to write as gctrace", args.file.display());
        }
        if report.subject.repetition.is_none() {
            outputs.add(Told::Start(&report), &view, |_| true)?;
            outputs.commit()?;
            // For what is behind it: how the file ends.
            next(args, replay)?;
            return Ok(output::is_incomplete(&report.totals()));
        }
        outputs.ensure_appends("the capture holds several runs")?;
        repeated.add(&report, &mut outputs)?;
    }
    let incomplete = repeated.incomplete;
    match repeated.finish(outputs, view.order, view.inits)? {
        Some(_) => Ok(incomplete),
        None => anyhow::bail!("{}: no start is in it", args.file.display()),
    }
}

/// What `gotrace attach` recorded.
fn followed(args: &Args, common: &Common, replay: Source, outputs: Outputs) -> anyhow::Result<Exit> {
    let view = view(args, &replay);
    let shown = || args.file.display().to_string();
    let Some(outcome) = followed::tell(replay.follow(), &view, outputs).with_context(shown)? else {
        anyhow::bail!("{}: gotrace was killed before anything was summed up", shown());
    };
    if !outcome.is_whole {
        common.note(&format!("{} ends early: gotrace was killed, or the file was cut", shown()));
    }
    Ok(if outcome.is_incomplete || !outcome.is_whole { Exit::Incomplete } else { Exit::Ok })
}

/// What `gotrace watch` recorded.
fn watched(args: &Args, replay: &mut Source, mut outputs: Outputs) -> anyhow::Result<bool> {
    outputs.ensure(History::Start)?;
    let view = View { rows: 0, ..view(args, replay) };
    outputs.ensure_appends("the capture holds any number of starts")?;
    let mut incomplete = false;
    while let Some(report) = next(args, replay)? {
        outputs.add(Told::Start(&report), &view, |_| true)?;
        outputs.write(Format::Text, |_, out| writeln!(out))?;
        incomplete |= report.totals().dropped > 0;
    }
    outputs.commit()?;
    Ok(incomplete)
}

type Source = Replay<BufReader<File>>;

fn next(args: &Args, replay: &mut Source) -> anyhow::Result<Option<crate::model::Report>> {
    replay.next_start().with_context(|| args.file.display().to_string())
}

fn view(args: &Args, replay: &Source) -> View {
    let starts = replay.begin.starts.as_ref();
    let order = match starts {
        Some(starts) if starts.in_order => InitOrder::Run,
        _ => InitOrder::Slowest,
    };
    let default = View::default();
    View {
        order: args.sort.map_or(order, Sort::order),
        inits: args.top.or(starts.map(|starts| starts.top)).unwrap_or(default.inits),
        of: args.flame.into(),
        by: args.by.into(),
        focus: args.focus.clone(),
        ..default
    }
}
