//! Where reports go: files that are opened before the measurement, or standard output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::export::{Export as _, Format, Ndjson, StartupFlame};
use crate::files::AtomicFile;
use crate::model::{Report, Totals};

/// More than this share of the probe hits lost makes the data incomplete, in hundredths.
const LOSS_LIMIT_PERCENT: u64 = 1;

/// A format by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FormatName {
    /// For people
    Text,
    /// One JSON object a line
    Ndjson,
    /// Stacks with their weights, for flame graph tools
    Folded,
    /// A flame graph
    Svg,
    /// The garbage collector's cycles, as GODEBUG=gctrace=1 prints them
    Gctrace,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Text => Self::Text,
            FormatName::Ndjson => Self::Ndjson,
            FormatName::Folded => Self::Folded,
            FormatName::Svg => Self::Svg,
            FormatName::Gctrace => Self::Gctrace,
        }
    }
}

/// Every place that the report is to go to.
pub(super) struct Outputs {
    files: Vec<(PathBuf, Format, AtomicFile)>,
    stdout: Option<Format>,
}

impl Outputs {
    /// Opens all of them: a bad path fails now. Without any, the report goes to standard output. A format that was
    /// asked for by name goes before the files' names.
    pub(super) fn open(paths: &[PathBuf], json: bool, name: Option<FormatName>) -> anyhow::Result<Self> {
        let mut outputs = Self { files: Vec::new(), stdout: None };
        let named = name.map(Format::from);
        let default = named.unwrap_or(if json { Format::Ndjson } else { Format::Text });
        for path in paths {
            if path == Path::new("-") {
                outputs.stdout = Some(default);
                continue;
            }
            let by_name = named.or_else(|| Format::of_path(path));
            let Some(format) = by_name.or(json.then_some(Format::Ndjson)) else {
                bail!(
                    "cannot tell the format of {}: its name must end in .txt, .ndjson, .folded, .svg or .gctrace, \
                     or -f must say it",
                    path.display()
                );
            };
            let file =
                AtomicFile::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            outputs.files.push((path.clone(), format, file));
        }
        if outputs.files.is_empty() {
            outputs.stdout = Some(default);
        }
        Ok(outputs)
    }

    /// Whether standard output is wanted for lines that nothing else may be among.
    pub(super) fn needs_stdout(&self) -> bool {
        self.stdout.is_some_and(|format| format != Format::Text)
    }

    /// Whether text goes to standard output.
    pub(super) fn shows_text(&self) -> bool {
        self.stdout == Some(Format::Text)
    }

    /// Writes a run wherever every run has its own lines.
    pub(super) fn add(&mut self, report: &Report) -> anyhow::Result<()> {
        self.write(Format::Ndjson, |_, out| Ndjson.write(report, out))?;
        self.write(Format::Gctrace, |_, out| report.gc.as_ref().map_or(Ok(()), |gc| gc.write_gctrace(out)))
    }

    /// Draws a start wherever that is wanted.
    pub(super) fn draw(&mut self, report: &Report, chart: &StartupFlame) -> anyhow::Result<()> {
        self.write(Format::Folded, |_, out| chart.write_folded(report, out))?;
        self.write(Format::Svg, |_, out| chart.write_svg(report, out))
    }

    /// Whether a flame graph is wanted.
    pub(super) fn has_flame_graph(&self) -> bool {
        self.has(Format::Folded) || self.has(Format::Svg)
    }

    /// Whether that format is wanted.
    pub(super) fn has(&self, format: Format) -> bool {
        self.stdout == Some(format) || self.files.iter().any(|(_, of_file, _)| *of_file == format)
    }

    /// Writes the text where text is wanted, in colours or not, and gives the files their names.
    pub(super) fn finish(
        mut self,
        text: impl Fn(bool, &mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        self.write(Format::Text, text)?;
        self.commit()
    }

    /// Gives the files their names.
    pub(super) fn commit(self) -> anyhow::Result<()> {
        for (path, _, file) in self.files {
            file.commit().with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Writes wherever that format is wanted.
    pub(super) fn write(
        &mut self,
        format: Format,
        write: impl Fn(bool, &mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        for (path, _, file) in self.files.iter_mut().filter(|(_, of_file, _)| *of_file == format) {
            buffered(file.file(), |out| write(false, out))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.stdout == Some(format) {
            // anstream takes the colours out again when nobody would see them.
            match buffered(&mut anstream::stdout().lock(), |out| write(true, out)) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                other => other.context("cannot write to standard output")?,
            }
        }
        Ok(())
    }
}

fn buffered(out: &mut dyn Write, write: impl Fn(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    write(&mut out)?;
    out.flush()
}

/// Whether so much was lost that a script must not take the report for whole.
pub(super) fn is_incomplete(totals: &Totals) -> bool {
    totals.dropped * 100 > totals.hits * LOSS_LIMIT_PERCENT
}
