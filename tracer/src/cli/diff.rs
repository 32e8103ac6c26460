//! `gotrace diff A B`: two recorded startups, or several of each, side by side; or a running program twice.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use regex::Regex;

use super::output::Outputs;
use super::{Common, Exit};
use crate::capture::record::Verb;
use crate::capture::{Replay, is_capture};
use crate::export::{
    DiffFlame, DiffNdjson, DiffText, Export as _, Format, History, Ndjson, RunningDiffNdjson,
    RunningDiffText, Side,
};
use crate::model::Recording;
use crate::model::diff::{Comparison, RunningComparison};

/// Compare two startups, or a running program twice: what became slower or faster beyond the noise
///
/// A and B are captures, or reports that gotrace wrote with --json or -o FILE.ndjson: both of starts (gotrace run, watch),
/// or both of a running program (gotrace attach). Each may hold several, as --repeat and --interval write them, or as
/// reports put one behind another.
///
/// Of starts the medians are compared; the more runs, the finer the difference that can be told from the noise. What
/// counts is more than 50 µs, and more than one and a half times the larger quartile range (10 runs a side or more), or
/// more than the larger range (4 to 9 runs). With fewer runs the noise is not known; a difference then counts when it is
/// more than 1 ms, more than a quarter of the larger median, and more than the larger range.
///
/// Of a running program it is compared where goroutines were blocked each second, and what the garbage collector did.
/// What counts is more than 1 ms each second, more than a quarter of the larger, and more than four deviations of calls
/// that come independently of each other. That the program was asked for the same in both is taken for granted.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  sudo gotrace run --repeat 10 --until main -o before.ndjson -- ./server
  sudo gotrace run --repeat 10 --until main -o after.ndjson -- ./server.new
  gotrace diff before.ndjson after.ndjson
  gotrace diff monday.gotrace tuesday.gotrace -o - -o diff.svg

Lines of --json, of starts: header (with \"report\":\"diff\"), one of change, added, removed or unfinished for each figure,
moved for each init in another order, summary. Of a running program: header, blocked_change, gc_change, summary. Times
are in nanoseconds.

Exit codes: 0 whatever differs, 1 when a report cannot be read.")]
pub(super) struct Args {
    /// The report to compare with
    a: PathBuf,
    /// The report to compare
    b: PathBuf,
    /// Write the comparison to FILE (.txt, .ndjson; .svg: a flame graph of B, red where it is more than in A and blue where
    /// it is less; of starts it needs captures). Repeatable; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// One JSON object a line instead of text: every figure, also those within the noise
    #[arg(long)]
    json: bool,
    /// Show in text what is within the noise too, and every list in full
    #[arg(long)]
    all: bool,
    /// Only stacks with a frame that matches, in the flame graph
    #[arg(long, value_name = "REGEX")]
    focus: Option<Regex>,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    let mut outputs = Outputs::open(&args.output, args.json, None)?;
    outputs.ensure(History::Comparison)?;
    anyhow::ensure!(!outputs.records(), "a comparison is no capture");
    let flame = || outputs.has(Format::Svg).then(|| DiffFlame::new(args.focus.clone()));
    let (a, b) = (SideRead::of(&args.a, flame())?, SideRead::of(&args.b, flame())?);
    let files = [&args.a, &args.b].map(|path| path.display().to_string());
    for (_, file) in [&a, &b].into_iter().zip(&files).filter(|(side, _)| side.ends_early) {
        common.note(&format!("{file} ends early: gotrace was killed, or the file was cut"));
    }
    let (of_a, of_b) = (&a.recording, &b.recording);
    let sides = [Side { file: &files[0], recording: of_a }, Side { file: &files[1], recording: of_b }];
    match (of_a.spans.reports > 0, of_b.spans.reports > 0) {
        (false, false) => {
            let comparison = Comparison::of(&of_a.series, &of_b.series);
            let text = DiffText { all: args.all, color: true };
            outputs.write(Format::Ndjson, |_, out| DiffNdjson.write(sides, &comparison, out))?;
            outputs.write(Format::Text, |color, out| {
                DiffText { color, ..text }.write(sides, &comparison, out)
            })?;
        }
        (true, true) => {
            let comparison = RunningComparison::of(&of_a.spans, &of_b.spans);
            let text = RunningDiffText { all: args.all, color: true };
            outputs.write(Format::Ndjson, |_, out| RunningDiffNdjson.write(sides, &comparison, out))?;
            outputs.write(Format::Text, |color, out| {
                RunningDiffText { color, ..text }.write(sides, &comparison, out)
            })?;
        }
        (is_running, _) => {
            let [starts, running] = if is_running { [1, 0] } else { [0, 1] }.map(|side: usize| &files[side]);
            bail!("{starts} is of starts, and {running} of a running program: these cannot be compared");
        }
    }
    if let (Some(on_a), Some(on_b)) = (&a.flame, &b.flame) {
        let (title, scales) = picture(&a, &b, on_a.starts(), on_b.starts(), &files)?;
        outputs.write(Format::Svg, |_, out| DiffFlame::write_svg(on_a, on_b, scales, &title, out))?;
    }
    outputs.commit()?;
    Ok(Exit::Ok)
}

/// What the flame graph is called, and what a nanosecond of each side is in it: microseconds of one start, or of a span as
/// long as B's.
#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn picture(
    a: &SideRead,
    b: &SideRead,
    starts_a: u32,
    starts_b: u32,
    files: &[String; 2],
) -> anyhow::Result<(String, [f64; 2])> {
    let [name_a, name_b] = files;
    for (side, starts, name) in [(a, starts_a, name_a), (b, starts_b, name_b)] {
        if side.recording.cut > 0 {
            bail!("{name} was cut short: its stacks would not be those of its sums");
        }
        if side.recording.spans.reports == 0 && starts == 0 {
            bail!("{name} has no stacks: a flame graph of starts is drawn from captures (-o FILE.gotrace)");
        }
    }
    let [span_a, span_b] = [a, b].map(|side| side.recording.spans.time.0.max(1) as f64);
    let scales = if a.recording.spans.reports > 0 {
        [1e-3 * span_b / span_a, 1e-3]
    } else {
        [1e-3 / f64::from(starts_a.max(1)), 1e-3 / f64::from(starts_b.max(1))]
    };
    Ok((format!("{name_b}: red is more, blue is less than in {name_a}"), scales))
}

/// One side.
struct SideRead {
    recording: Recording,
    /// Its stacks, when they are asked for.
    flame: Option<DiffFlame>,
    /// Whether it is a capture of a session that did not come to its end.
    ends_early: bool,
}

impl SideRead {
    fn of(path: &Path, mut flame: Option<DiffFlame>) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        let mut file = BufReader::new(File::open(path).with_context(shown)?);
        let read = |source: &mut dyn io::BufRead, flame: &mut Option<DiffFlame>| {
            let mut blocked = |line: &_| flame.iter_mut().for_each(|flame| flame.blocked(line));
            Recording::read_with(source, &mut blocked).with_context(shown)
        };
        if !is_capture(file.fill_buf().with_context(shown)?) {
            let recording = read(&mut file, &mut flame)?;
            return Ok(Self { recording, flame, ends_early: false });
        }
        let mut replay = Replay::new(file).with_context(shown)?;
        let (recording, is_whole) = if replay.begin.verb == Verb::Attach {
            let mut replayed = replay.follow();
            let next = |out: &mut Vec<u8>| match replayed.next_report().map_err(io::Error::other)? {
                Some(reported) => Ndjson.running(&reported.report, out).map(|()| true),
                None => Ok(false),
            };
            (read(&mut BufReader::new(Lines::of(next)), &mut flame)?, replayed.is_whole())
        } else {
            let next = |out: &mut Vec<u8>| match replay.next_start().map_err(io::Error::other)? {
                Some(report) => {
                    flame.iter_mut().for_each(|flame| flame.start(&report));
                    Ndjson.start(&report, out).map(|()| true)
                }
                None => Ok(false),
            };
            (read(&mut BufReader::new(Lines::of(next)), &mut None)?, replay.is_whole())
        };
        Ok(Self { recording, flame, ends_early: !is_whole })
    }
}

/// The NDJSON of a capture's reports, one after the other.
struct Lines<F> {
    /// Writes the next one; false when there is none.
    next: F,
    ready: io::Cursor<Vec<u8>>,
}

impl<F: FnMut(&mut Vec<u8>) -> io::Result<bool>> Lines<F> {
    fn of(next: F) -> Self {
        Self { next, ready: io::Cursor::default() }
    }
}

impl<F: FnMut(&mut Vec<u8>) -> io::Result<bool>> io::Read for Lines<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.ready.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.ready = io::Cursor::default();
            if !(self.next)(self.ready.get_mut())? {
                return Ok(0);
            }
        }
    }
}
