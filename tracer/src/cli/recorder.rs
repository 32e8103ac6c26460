//! Puts what is seen into a capture, where one was asked for. Whatever becomes of the capture, the session goes on: what
//! went wrong is told at its end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::capture::record::{Begin, Start};
use crate::capture::{CaptureError, CaptureFile, MOST_RECORDS, Record, RecordedSymbols, SUFFIX};
use crate::model::gc::Surroundings;
use crate::stream::RawRecord;

/// A size on the command line: bytes, or with K, M, G or T so many times 1024 of them.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['B', 'i']);
    let (number, shift) = match digits.strip_suffix(['K', 'M', 'G', 'T']) {
        None => (digits, 0),
        Some(number) => (number, 10 * (1 + "KMGT".find(&digits[number.len()..]).unwrap_or(0))),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    match bytes {
        Some(bytes) if bytes >= LEAST => Ok(bytes),
        _ => Err("a size from 1M on is needed, such as 100M or 2G".to_owned()),
    }
}

/// The least that a capture can be bounded to: what is not compressed yet is as large.
const LEAST: u64 = 1 << 20;

/// The way to a capture, or to none.
#[derive(Default)]
pub(super) struct Recorder {
    to: Option<(PathBuf, CaptureFile)>,
    failed: Option<anyhow::Error>,
    /// So many of the kernel side's records were put in since the last begin or start, and so many were not.
    put: u64,
    left_out: u64,
}

impl Recorder {
    /// Whether that file is to be a capture.
    pub(super) fn is_asked_by(path: &Path) -> bool {
        let name = path.file_name().map(OsStr::as_encoded_bytes);
        name.is_some_and(|name| name.len() > SUFFIX.len() && name.ends_with(SUFFIX.as_bytes()))
    }

    /// From now on to that file: a bad path fails now.
    pub(super) fn open(&mut self, path: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(self.to.is_none(), "one capture is enough: give -o FILE{SUFFIX} once");
        let file = CaptureFile::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        self.to = Some((path.to_owned(), file));
        Ok(())
    }

    /// The file is to be that large at most.
    pub(super) fn bounded(mut self, most: Option<u64>) -> anyhow::Result<Self> {
        match (&mut self.to, most) {
            (Some((_, file)), Some(most)) => file.bound(most),
            (None, Some(_)) => {
                anyhow::bail!("--max-size is of a capture, and there is none: give -o FILE{SUFFIX}")
            }
            (_, None) => {}
        }
        Ok(self)
    }

    /// Whether there is a capture.
    pub(super) fn is_on(&self) -> bool {
        self.to.is_some()
    }

    /// Whether the file is as large as it may be.
    pub(super) fn is_full(&self) -> bool {
        self.to.as_ref().is_some_and(|(_, file)| file.is_full())
    }

    /// Makes sure of what came, now and then.
    pub(super) fn tick(&mut self) {
        self.with(CaptureFile::tick);
    }

    /// A session begins. When the file is as large as it may be, another one does.
    pub(super) fn begin(&mut self, begin: impl FnOnce() -> Begin) {
        (self.put, self.left_out) = (0, 0);
        self.with(|file| {
            if file.is_full() {
                file.rotate()?;
            }
            file.writer().record(&Record::Begin(Box::new(begin())))
        });
    }

    /// Records of the kernel side. A start cannot be divided: when the file is as large as it may be, the rest is left
    /// out, and counted.
    pub(super) fn ring(&mut self, records: &[RawRecord]) {
        let Some((_, file)) = &self.to else { return };
        let (count, full) = (records.len() as u64, file.is_full());
        if full || self.left_out > 0 || self.put + count > MOST_RECORDS {
            self.left_out += count;
            return;
        }
        self.put += count;
        self.with(|file| {
            records.iter().try_for_each(|RawRecord(bytes)| file.writer().ring(bytes))?;
            file.tick()
        });
    }

    /// What else was seen when the last records were taken in.
    pub(super) fn surroundings(&mut self, surroundings: Surroundings) {
        self.with(|file| file.writer().record(&Record::Surroundings(surroundings)));
    }

    /// A start is over. The records since the last one are its.
    pub(super) fn start(&mut self, symbols: RecordedSymbols<'_>, start: Start) {
        let left_out = std::mem::take(&mut self.left_out);
        self.put = 0;
        self.with(|file| {
            let writer = file.writer();
            symbols.records().try_for_each(|symbols| writer.record(&symbols))?;
            writer.record(&Record::Start(Box::new(Start { left_out, ..start })))?;
            file.tick()
        });
    }

    /// Gives the capture its name.
    pub(super) fn commit(self) -> anyhow::Result<()> {
        match (self.failed, self.to) {
            (Some(failed), _) => Err(failed),
            (None, Some((path, file))) => {
                file.commit().with_context(|| format!("cannot write {}", path.display()))
            }
            (None, None) => Ok(()),
        }
    }

    /// From the first failure on nothing is recorded.
    pub(super) fn with(&mut self, write: impl FnOnce(&mut CaptureFile) -> Result<(), CaptureError>) {
        let Some((path, file)) = &mut self.to else { return };
        if let Err(error) = write(file) {
            let error = anyhow::Error::new(error).context(format!("cannot write {}", path.display()));
            tracing::warn!("{error:#}");
            self.failed = Some(error);
            self.to = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_powers_of_1024() {
        assert_eq!(size("1048576"), Ok(1 << 20));
        assert_eq!(size("100M"), Ok(100 << 20));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        for bad in ["", "M", "1", "1K", "12X", "-1M", "99999999999T"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn records_of_a_start_that_there_is_no_room_for_are_left_out_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::default();
        recorder.open(&folder.path().join("a.gotrace")).unwrap();
        let drained: Vec<RawRecord> =
            (0..4096).map(|_| RawRecord(bytes::Bytes::from_static(&[7; 40]))).collect();
        for _ in 0..MOST_RECORDS / 4096 {
            recorder.ring(&drained);
        }
        assert_eq!((recorder.put, recorder.left_out), (MOST_RECORDS, 0));
        recorder.ring(&drained[..1]);
        recorder.ring(&drained);
        assert_eq!(
            (recorder.put, recorder.left_out),
            (MOST_RECORDS, 4097),
            "what came later is not told either"
        );
        recorder.commit().unwrap();
    }

    #[test]
    fn captures_are_known_by_their_name() {
        assert!(Recorder::is_asked_by(Path::new("a/b.gotrace")));
        for other in [".gotrace", "a/.gotrace", "b.gotrace.txt", "gotrace", "-"] {
            assert!(!Recorder::is_asked_by(Path::new(other)), "{other}");
        }
    }
}
