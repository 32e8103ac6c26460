//! Where reports go: files that are opened before the measurement, or standard output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::recorder::Recorder;
use crate::export::{Format, History, Told, View};
use crate::files::{AtomicFile, folder_of};
use crate::model::Totals;

/// More than this share of the probe hits lost makes the data incomplete, in hundredths.
const LOSS_LIMIT_PERCENT: u64 = 1;

/// Reads a format's name on the command line.
pub(super) fn format_name() -> impl TypedValueParser<Value = Format> {
    let names = Format::ALL.map(|format| PossibleValue::new(format.name()).help(format.about()));
    PossibleValuesParser::new(names).map(|name| {
        let of_name = Format::ALL.into_iter().find(|format| format.name() == name);
        of_name.unwrap_or(Format::Text)
    })
}

/// Every place that the report is to go to.
pub(super) struct Outputs {
    files: Vec<(PathBuf, Format, AtomicFile)>,
    stdout: Option<Format>,
    recorder: Recorder,
}

impl Outputs {
    /// Opens all of them: a bad path fails now. Without any, the report goes to standard output. A format that was
    /// asked for by name goes before the files' names.
    pub(super) fn open(paths: &[PathBuf], json: bool, named: Option<Format>) -> anyhow::Result<Self> {
        let mut outputs = Self { files: Vec::new(), stdout: None, recorder: Recorder::default() };
        let default = named.unwrap_or(if json { Format::Ndjson } else { Format::Text });
        for (index, path) in paths.iter().enumerate() {
            if paths[..index].iter().any(|other| is_same(other, path)) {
                bail!("{} is given twice: every output needs a name of its own", path.display());
            }
            if path == Path::new("-") {
                outputs.stdout = Some(default);
                continue;
            }
            let of_name = Format::of_path(path);
            let says =
                if Recorder::is_asked_by(path) { Some("a capture") } else { of_name.map(Format::name) };
            if let (Some(named), Some(says)) = (named, says)
                && of_name != Some(named)
            {
                bail!("{} is to be {}, and its name says {says}", path.display(), named.name());
            }
            if Recorder::is_asked_by(path) {
                outputs.recorder.open(path)?;
                continue;
            }
            let by_name = named.or(of_name);
            let Some(format) = by_name.or(json.then_some(Format::Ndjson)) else {
                bail!(
                    "cannot tell the format of {}: its name must end in {}, or -f must say it",
                    path.display(),
                    Format::ALL.map(|format| format.suffixes()[0]).join(", ")
                );
            };
            let file =
                AtomicFile::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            outputs.files.push((path.clone(), format, file));
        }
        if outputs.files.is_empty() && !outputs.recorder.is_on() {
            outputs.stdout = Some(default);
        }
        Ok(outputs)
    }

    /// The way to the capture, if one was asked for; once. It is to be of that size at most.
    pub(super) fn recorder(&mut self, most: Option<u64>) -> anyhow::Result<Recorder> {
        std::mem::take(&mut self.recorder).bounded(most)
    }

    /// Whether a capture was asked for.
    pub(super) fn records(&self) -> bool {
        self.recorder.is_on()
    }

    /// Whether standard output is wanted for lines that nothing else may be among.
    pub(super) fn needs_stdout(&self) -> bool {
        self.stdout.is_some_and(|format| format != Format::Text)
    }

    /// Whether text goes to standard output.
    pub(super) fn shows_text(&self) -> bool {
        self.stdout == Some(Format::Text)
    }

    /// Writes a history wherever a format is wanted for which that holds.
    pub(super) fn add(
        &mut self,
        told: Told<'_>,
        view: &View,
        holds: impl Fn(Format) -> bool,
    ) -> anyhow::Result<()> {
        Format::ALL
            .into_iter()
            .filter(|format| holds(*format))
            .try_for_each(|format| self.write(format, |color, out| format.write(told, view, color, out)))
    }

    /// Refuses what cannot be told of such a history, before anything is attached.
    pub(super) fn ensure(&self, of: History) -> anyhow::Result<()> {
        let refused = |format: &Format| self.has(*format).then(|| format.refusal(of)).flatten();
        match Format::ALL.iter().find_map(|format| Some((format.name(), refused(format)?))) {
            Some((name, why)) => bail!("{name}: {why}"),
            None => Ok(()),
        }
    }

    /// A format that was asked for, and for which that holds.
    pub(super) fn any(&self, holds: impl Fn(Format) -> bool) -> Option<Format> {
        Format::ALL.into_iter().find(|format| holds(*format) && self.has(*format))
    }

    /// The files that a browser shows.
    pub(super) fn shown(&self) -> Vec<PathBuf> {
        let shown = self.files.iter().filter(|(_, format, _)| matches!(format, Format::Html | Format::Svg));
        shown.map(|(path, _, _)| path.clone()).collect()
    }

    /// Refuses formats that tell one start only; `why` says that there are more.
    pub(super) fn ensure_appends(&self, why: &str) -> anyhow::Result<()> {
        match self.any(|format| !format.appends()) {
            Some(format) => bail!("{} is of one start, and {why}: leave that output out", format.name()),
            None => Ok(()),
        }
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
            let written = if format == Format::Text {
                // anstream takes the colours out again when nobody would see them.
                buffered(&mut anstream::stdout().lock(), |out| write(true, out))
            } else {
                // What is no text must not lose the bytes that would be colours in one.
                buffered(&mut io::stdout().lock(), |out| write(false, out))
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                other => other.context("cannot write to standard output")?,
            }
        }
        Ok(())
    }
}

/// Whether both name one file; by name and folder, for they need not be there.
fn is_same(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| folder_of(path).canonicalize().ok();
    one == other
        || (one.file_name() == other.file_name() && folder(one).is_some() && folder(one) == folder(other))
}

fn buffered(out: &mut dyn Write, write: impl Fn(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    write(&mut out)?;
    out.flush()
}

/// Whether so much was lost that a script must not take the report for whole.
pub(super) fn is_incomplete(totals: &Totals) -> bool {
    totals.dropped.saturating_mul(100) > totals.hits.saturating_mul(LOSS_LIMIT_PERCENT)
}
