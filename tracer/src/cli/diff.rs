//! `gotrace diff A B`: two recorded startups, or several of each, side by side.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Exit;
use crate::capture::record::Verb;
use crate::capture::{Replay, is_capture};
use crate::export::{DiffNdjson, DiffText, Export as _, Ndjson, Side};
use crate::model::Recording;
use crate::model::diff::Comparison;

/// Compare two startups: what became slower or faster beyond the noise
///
/// A and B are captures of starts, or reports that gotrace run wrote with --json or -o FILE.ndjson. Each may hold several runs of the
/// same program, as --repeat writes them, or as reports put one behind another; the more runs, the finer the
/// difference that can be told from the noise.
///
/// The medians of both sides are compared. What counts is more than 50 µs, and more than one and a half times
/// the larger quartile range (10 runs a side or more), or more than the larger range (4 to 9 runs). With fewer
/// runs the noise is not known; a difference then counts when it is more than 1 ms, more than a quarter of the
/// larger median, and more than the larger range.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  sudo gotrace run --repeat 10 --until main -o before.ndjson -- ./server
  sudo gotrace run --repeat 10 --until main -o after.ndjson -- ./server.new
  gotrace diff before.ndjson after.ndjson

Lines of --json: header (with \"report\":\"diff\"), one of change, added, removed or unfinished for each figure,
moved for each init in another order, summary. Times are integers in nanoseconds.

Exit codes: 0 whatever differs, 1 when a report cannot be read.")]
pub(super) struct Args {
    /// The report to compare with
    a: PathBuf,
    /// The report to compare
    b: PathBuf,
    /// One JSON object a line instead of text: every figure, also those within the noise
    #[arg(long)]
    json: bool,
    /// Show in text what is within the noise too, and every list in full
    #[arg(long)]
    all: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let files = [&args.a, &args.b].map(|path| path.display().to_string());
    let sides = [Side { file: &files[0], recording: &a }, Side { file: &files[1], recording: &b }];
    let comparison = Comparison::of(&a.series, &b.series);
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let written = if args.json {
        DiffNdjson.write(sides, &comparison, &mut out)
    } else {
        // anstream takes the colours out again when nobody would see them.
        DiffText { all: args.all, color: true }.write(sides, &comparison, &mut out)
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        other => other.context("cannot write to standard output").map(|()| Exit::Ok),
    }
}

fn read(path: &Path) -> anyhow::Result<Recording> {
    let shown = || path.display().to_string();
    let mut file = BufReader::new(File::open(path).with_context(shown)?);
    if !is_capture(file.fill_buf().with_context(shown)?) {
        return Recording::read(file).with_context(shown);
    }
    let replay = Replay::new(file).with_context(shown)?;
    if replay.begin.verb == Verb::Attach {
        bail!("{} is of a running program: what is compared is starts", shown());
    }
    Recording::read(BufReader::new(Lines { replay, ready: io::Cursor::default() })).with_context(shown)
}

/// The NDJSON of a capture's starts.
struct Lines<R> {
    replay: Replay<R>,
    ready: io::Cursor<Vec<u8>>,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.ready.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(report) = self.replay.next_start().map_err(io::Error::other)? else { return Ok(0) };
            self.ready = io::Cursor::default();
            Ndjson.start(&report, self.ready.get_mut())?;
        }
    }
}
