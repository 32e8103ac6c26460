//! Where reports go: files that are opened before the measurement, or standard output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::export::{Export, Format, Ndjson, Text};
use crate::files::AtomicFile;
use crate::model::Report;

/// More than this share of the probe hits lost makes the data incomplete, in hundredths.
const LOSS_LIMIT_PERCENT: u64 = 1;

/// Every place that the report is to go to.
pub(super) struct Outputs {
    files: Vec<(PathBuf, Format, AtomicFile)>,
    stdout: Option<Format>,
}

impl Outputs {
    /// Opens all of them: a bad path fails now. Without any, the report goes to standard output.
    pub(super) fn open(paths: &[PathBuf], json: bool) -> anyhow::Result<Self> {
        let mut outputs = Self { files: Vec::new(), stdout: None };
        let default = if json { Format::Ndjson } else { Format::Text };
        for path in paths {
            if path == Path::new("-") {
                outputs.stdout = Some(default);
                continue;
            }
            let Some(format) = Format::of_path(path).or(json.then_some(Format::Ndjson)) else {
                bail!("cannot tell the format of {}: its name must end in .txt or .ndjson", path.display());
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

    /// Whether the report goes to standard output.
    pub(super) fn use_stdout(&self) -> bool {
        self.stdout.is_some()
    }

    /// Writes the report everywhere.
    pub(super) fn write(self, report: &Report, text: Text) -> anyhow::Result<()> {
        self.write_by(|format, color, out| match format {
            Format::Text => Text { color, ..text }.write(report, out),
            Format::Ndjson => Ndjson.write(report, out),
        })
    }

    /// Has a report written everywhere: told the format, and whether in colours.
    pub(super) fn write_by(
        self,
        report: impl Fn(Format, bool, &mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let write = |format, color, out: &mut dyn Write| {
            let mut out = io::BufWriter::new(out);
            report(format, color, &mut out)?;
            out.flush()
        };
        for (path, format, mut file) in self.files {
            write(format, false, file.file())
                .and_then(|()| file.commit())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(format) = self.stdout {
            // anstream takes the colours out again when nobody would see them.
            let out = anstream::stdout();
            match write(format, true, &mut out.lock()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                other => other.context("cannot write to standard output")?,
            }
        }
        Ok(())
    }
}

/// Whether so much was lost that a script must not take the report for whole.
pub(super) fn is_incomplete(report: &Report) -> bool {
    let totals = report.totals();
    totals.dropped * 100 > totals.hits * LOSS_LIMIT_PERCENT
}
