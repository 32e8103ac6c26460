//! Files that gotrace writes: never through somebody else's link, never half written, owned by whoever asked.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::target::user::InvokingUser;

/// Creates a file that did not exist, readable by its owner only.
///
/// # Errors
/// When something is at that path already, a dangling link included, the directory refuses, or the way to it is
/// somebody else's.
pub fn create_new_private(path: &Path) -> io::Result<File> {
    ensure_own_way(path)?;
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
/// When the path is a symbolic link, or no regular file, or somebody else's in a directory for everybody, or the directory
/// refuses.
pub fn append_private(path: &Path) -> io::Result<File> {
    match create_new_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    // O_NONBLOCK: a FIFO that nobody reads is an error and no wait.
    let file =
        OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let there = file.metadata()?;
    if !there.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // What is written is for the one who asked; and a second name may be any file's.
    if is_for_everybody(&fs::metadata(folder_of(path))?) && (!is_trusted(&there) || there.nlink() != 1) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "is there already, and is somebody else's",
        ));
    }
    Ok(file)
}

/// Refuses a way through somebody else's link in a directory for everybody, as the kernel does with
/// `fs.protected_symlinks` (fs/namei.c, `may_follow_link`), which is not set everywhere.
fn ensure_own_way(path: &Path) -> io::Result<()> {
    for link in folder_of(path).ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
        let Ok(there) = fs::symlink_metadata(link) else { continue };
        if there.is_symlink() && is_for_everybody(&fs::metadata(folder_of(link))?) && !is_trusted(&there) {
            let text = format!("{} is somebody else's link in a directory for everybody", link.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
    }
    Ok(())
}

/// The directory that it is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Whether everybody may make files there, and none of another's: as in /tmp.
fn is_for_everybody(folder: &Metadata) -> bool {
    const STICKY_AND_WRITABLE: u32 = libc::S_ISVTX | libc::S_IWOTH;
    folder.mode() & STICKY_AND_WRITABLE == STICKY_AND_WRITABLE
}

/// Whether it is root's, the user's whom gotrace runs as, or the one's who called sudo.
fn is_trusted(file: &Metadata) -> bool {
    // SAFETY: the call has no preconditions.
    let own = unsafe { libc::geteuid() };
    [0, own].contains(&file.uid()) || InvokingUser::of_sudo().is_some_and(|user| user.uid == file.uid())
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
            let text = "it is no regular file; for standard output there is -";
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
        // Nobody is to be there first: the hasher's keys are random.
        let number = RandomState::new().hash_one(std::process::id());
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{number:016x}"));
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

    /// A directory like /tmp, for everybody.
    fn for_everybody() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        directory
    }

    /// Makes it another user's, which only root can.
    fn give_away(path: &Path) -> bool {
        std::os::unix::fs::lchown(path, Some(65533), Some(65533)).is_ok()
    }

    #[test]
    fn anothers_link_in_a_directory_for_everybody_is_no_way() {
        let (directory, elsewhere) = (for_everybody(), tempfile::tempdir().unwrap());
        let link = directory.path().join("reports");
        symlink(elsewhere.path(), &link).unwrap();
        let below = link.join("out.txt");
        // One's own is.
        drop(AtomicFile::create(&below).unwrap());
        if give_away(&link) {
            let errors = [AtomicFile::create(&below).map(drop), append_private(&below).map(drop)]
                .map(Result::unwrap_err);
            for error in errors {
                // Where the kernel refuses it before, it is in its own words.
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
            }
        }
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_appended_to_what_another_put_there() {
        let directory = for_everybody();
        let path = directory.path().join("starts.ndjson");
        append_private(&path).unwrap().write_all(b"one\n").unwrap();
        append_private(&path).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
        let second = directory.path().join("second");
        fs::hard_link(&path, &second).unwrap();
        assert_eq!(append_private(&second).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        fs::remove_file(&second).unwrap();
        if give_away(&path) {
            assert_eq!(append_private(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        symlink(&path, &second).unwrap();
        assert!(append_private(&second).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn the_name_before_the_last_cannot_be_guessed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.txt");
        let files = [(); 2].map(|()| AtomicFile::create(&path).unwrap());
        assert_ne!(files[0].temporary, files[1].temporary);
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
