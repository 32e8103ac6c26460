//! Files that gotrace writes: never through somebody else's link, never half written, owned by whoever asked.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::target::user::InvokingUser;

/// Creates a file that did not exist, readable by its owner only.
///
/// # Errors
/// When something is at that path already, a dangling link included, or the directory refuses.
pub fn create_new_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    if let Some(user) = InvokingUser::of_sudo() {
        fchown(&file, Some(user.uid), Some(user.gid))?;
    }
    Ok(file)
}

/// Opens a file to be written at its end, readable by its owner only if it is new.
///
/// # Errors
/// When the path is a symbolic link, or no regular file, or the directory refuses.
pub fn append_private(path: &Path) -> io::Result<File> {
    match create_new_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    // O_NONBLOCK: a FIFO that nobody reads is an error and no wait.
    let file =
        OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from(io::ErrorKind::InvalidInput)) }
}

/// Refuses what a file may not take the place of: a directory, and for somebody who may do anything also a device or a
/// pipe, by whatever link.
///
/// # Errors
/// When that is so.
pub fn ensure_replaceable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => return Err(io::Error::from(io::ErrorKind::IsADirectory)),
        Ok(there) if there.is_file() && path.parent() != Some(Path::new("/dev")) => {}
        Ok(_) => {
            let text = "is no regular file; for standard output there is -";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // The directory has a word to say as well, when the file is made.
        Err(_) => {}
    }
    Ok(())
}

/// A file that appears under its name when it is complete, and not before.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl AtomicFile {
    /// Opens the file to write, beside `path`: a bad path fails now and not after the measurement.
    ///
    /// # Errors
    /// When the directory does not exist or refuses, or `path` is a directory.
    pub fn create(path: &Path) -> io::Result<Self> {
        ensure_replaceable(path)?;
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        let temporary = path.with_file_name(hidden);
        let file = create_new_private(&temporary)?;
        Ok(Self { file, temporary, path: path.to_owned() })
    }

    /// Where to write.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When the contents cannot be brought to disk, or the file not to its name.
    pub fn commit(self) -> io::Result<()> {
        self.file.sync_data()?;
        fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for AtomicFile {
    /// After [`AtomicFile::commit`] there is nothing left to remove.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete_and_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.ndjson");
        let mut file = AtomicFile::create(&path).unwrap();
        file.file().write_all(b"whole").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn nothing_is_left_of_a_file_that_was_given_up() {
        let directory = tempfile::tempdir().unwrap();
        drop(AtomicFile::create(&directory.path().join("out.txt")).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_planted_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let path = directory.path().join("out.txt");
        symlink(&victim, &path).unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.file().write_all(b"report").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(create_new_private(&path).is_err());
    }

    #[test]
    fn a_bad_path_fails_at_once() {
        let directory = tempfile::tempdir().unwrap();
        assert!(AtomicFile::create(&directory.path().join("missing/out.txt")).is_err());
        assert!(AtomicFile::create(directory.path()).is_err());
        for device in ["/dev/null", "/dev/stdout"] {
            let error = AtomicFile::create(Path::new(device)).unwrap_err().to_string();
            assert!(error.contains("no regular file"), "{error}");
        }
    }
}
