//! The file that a capture is written to.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::record::End;
use super::{CaptureError, Record, Writer};
use crate::files::{create_new_private, ensure_replaceable};

/// How the names of captures end.
pub const SUFFIX: &str = ".gotrace";

/// So often what came is made sure of.
const FLUSH: Duration = Duration::from_secs(1);

/// A capture that is being written: to `FILE.part` until it is complete. What a session that is killed leaves there can
/// be read.
pub struct CaptureFile {
    path: PathBuf,
    part: PathBuf,
    writer: Writer<File>,
    flushed: Instant,
    most: u64,
    committed: bool,
}

impl CaptureFile {
    /// Opens the file to write.
    ///
    /// # Errors
    /// When the directory does not exist or refuses, `path` is a directory, or there is a `FILE.part` already.
    pub fn create(path: &Path) -> Result<Self, CaptureError> {
        ensure_replaceable(path)?;
        let part = with_suffix(path, ".part");
        let writer = open(&part)?;
        Ok(Self {
            path: path.to_owned(),
            part,
            writer,
            flushed: Instant::now(),
            most: u64::MAX,
            committed: false,
        })
    }

    /// From that many bytes on it [is full](CaptureFile::is_full).
    pub fn bound(&mut self, most: u64) {
        self.most = most;
    }

    /// What to write to.
    pub fn writer(&mut self) -> &mut Writer<File> {
        &mut self.writer
    }

    /// Makes sure of what came, when that is due.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tick(&mut self) -> Result<(), CaptureError> {
        if self.flushed.elapsed() >= FLUSH {
            self.writer.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }

    /// Whether it is as large as it may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.writer.written() >= self.most
    }

    /// Ends this file, which from now on is called `FILE.1`, and begins a new one; what was called so before is gone.
    /// The new file must begin with a [`super::record::Begin`] again.
    ///
    /// # Errors
    /// When a file cannot be written, made or renamed.
    pub fn rotate(&mut self) -> Result<(), CaptureError> {
        self.end(&End { because: Some("max-size".into()) })?;
        fs::rename(&self.part, with_suffix(&self.path, ".1"))?;
        self.writer = open(&self.part)?;
        Ok(())
    }

    /// Ends the capture and gives it its name.
    ///
    /// # Errors
    /// When it cannot be brought to disk, or not to its name.
    pub fn commit(mut self) -> Result<(), CaptureError> {
        self.end(&End::default())?;
        fs::rename(&self.part, &self.path)?;
        self.committed = true;
        Ok(())
    }

    fn end(&mut self, end: &End) -> Result<(), CaptureError> {
        self.writer.record(&Record::End(end.clone()))?;
        self.writer.flush()?;
        Ok(self.writer.out().sync_data()?)
    }
}

impl Drop for CaptureFile {
    /// What was recorded of a session that failed is kept as `FILE.part`, once there was time to write any of it.
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        if self.writer.has_blocks() {
            let _ = self.writer.flush();
        } else {
            let _ = fs::remove_file(&self.part);
        }
    }
}

fn open(part: &Path) -> Result<Writer<File>, CaptureError> {
    let file = create_new_private(part).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => io::Error::new(
            ErrorKind::AlreadyExists,
            format!(
                "{} is there: another gotrace writes it, or one was killed that did; gotrace report reads it, \
                 remove it when it is not needed",
                part.display()
            ),
        ),
        _ => error,
    })?;
    // Nothing is in it that could be read, and it would be in the way of the next one.
    Writer::new(file).inspect_err(|_| drop(fs::remove_file(part)))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Reader;

    /// The names in a folder, in order.
    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn records(path: &Path) -> Vec<String> {
        let mut reader = Reader::new(File::open(path).unwrap()).unwrap();
        let mut records = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            records.push(format!("{record:?}"));
        }
        assert!(!reader.is_cut());
        records
    }

    #[test]
    fn a_capture_appears_when_it_is_complete_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gotrace");
        let mut file = CaptureFile::create(&path).unwrap();
        file.writer().ring(&[1; 40]).unwrap();
        assert_eq!(names(folder.path()), ["a.gotrace.part"]);
        // Nobody writes over what another one is writing.
        let error = CaptureFile::create(&path).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("a.gotrace.part is there"), "{error}");
        file.commit().unwrap();
        assert_eq!(names(folder.path()), ["a.gotrace"]);
        assert_eq!(records(&path).len(), 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn of_a_session_that_fails_there_is_left_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gotrace");
        drop(CaptureFile::create(&path).unwrap());
        let mut file = CaptureFile::create(&path).unwrap();
        file.writer().ring(&[1; 40]).unwrap();
        drop(file);
        assert_eq!(names(folder.path()), [""; 0]);
        let mut file = CaptureFile::create(&path).unwrap();
        file.writer().ring(&[1; 40]).unwrap();
        file.writer().flush().unwrap();
        file.writer().ring(&[2; 40]).unwrap();
        drop(file);
        assert_eq!(names(folder.path()), ["a.gotrace.part"]);
        assert_eq!(records(&folder.path().join("a.gotrace.part")).len(), 2);
    }

    #[test]
    fn a_file_that_is_full_makes_place_for_another_and_one_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gotrace");
        let mut file = CaptureFile::create(&path).unwrap();
        file.bound(30);
        assert!(!file.is_full());
        for number in 1..=3 {
            file.writer().ring(&[number; 40]).unwrap();
            file.writer().flush().unwrap();
            assert!(file.is_full());
            file.rotate().unwrap();
            assert!(!file.is_full());
        }
        file.commit().unwrap();
        assert_eq!(names(folder.path()), ["a.gotrace", "a.gotrace.1"]);
        let before = records(&folder.path().join("a.gotrace.1"));
        assert!(before[0].contains("3, 3, 3") && before[1].contains("max-size"), "{before:?}");
        assert_eq!(records(&path).len(), 1);
    }

    #[test]
    fn what_a_capture_may_not_take_the_place_of_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let (path, part) = (folder.path().join("a.gotrace"), folder.path().join("a.gotrace.part"));
        std::os::unix::fs::symlink(&victim, &part).unwrap();
        assert!(CaptureFile::create(&path).is_err());
        fs::remove_file(&part).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let file = CaptureFile::create(&path).unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(CaptureFile::create(folder.path()).is_err());
    }
}
