//! Which file a command name means, as a shell would find it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A command that cannot be run.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CommandError {
    /// No such file on the PATH.
    #[error("cannot find the command {}: it is in none of the directories of PATH", name.display())]
    NotOnPath {
        /// As it was given.
        name: OsString,
    },
    /// The named file does not exist.
    #[error("cannot find {}: no such file", path.display())]
    NotFound {
        /// As it was given.
        path: PathBuf,
    },
    /// The file is there and may not be run.
    #[error("cannot run {}: it is not an executable file; chmod +x makes it one", path.display())]
    NotExecutable {
        /// As it was found.
        path: PathBuf,
    },
}

/// Finds the file that `name` means: a path when it has a slash, else the first executable of that name in
/// the directories of `path_variable`.
///
/// # Errors
/// When there is no such file, or it may not be run.
pub fn resolve(name: &OsStr, path_variable: Option<&OsStr>) -> Result<PathBuf, CommandError> {
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(CommandError::NotFound { path })
            }
            Ok(metadata) if metadata.is_file() && !is_executable(&path) => {
                Err(CommandError::NotExecutable { path })
            }
            // Whatever else is wrong with it, opening it will say so.
            Ok(_) | Err(_) => Ok(path),
        };
    }
    let directories = path_variable.map(std::env::split_paths).into_iter().flatten();
    let mut refused = None;
    for directory in directories {
        // An empty entry means the current directory (POSIX, "8. Environment Variables").
        let path =
            if directory.as_os_str().is_empty() { Path::new(".").join(name) } else { directory.join(name) };
        if path.is_file() {
            if is_executable(&path) {
                return Ok(path);
            }
            refused.get_or_insert(path);
        }
    }
    Err(match refused {
        Some(path) => CommandError::NotExecutable { path },
        None => CommandError::NotOnPath { name: name.to_owned() },
    })
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn executable(path: &Path, mode: u32) {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_executable_on_the_path_wins() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("a"), directory.path().join("b"));
        fs::create_dir_all(&first).unwrap();
        fs::create_dir_all(&second).unwrap();
        executable(&first.join("tool"), 0o644);
        executable(&second.join("tool"), 0o755);
        let path = std::env::join_paths([&first, &second]).unwrap();
        assert_eq!(resolve(OsStr::new("tool"), Some(&path)), Ok(second.join("tool")));
        let only_first = first.as_os_str();
        assert!(matches!(
            resolve(OsStr::new("tool"), Some(only_first)),
            Err(CommandError::NotExecutable { .. })
        ));
        assert!(matches!(
            resolve(OsStr::new("other"), Some(only_first)),
            Err(CommandError::NotOnPath { .. })
        ));
        assert!(matches!(resolve(OsStr::new("tool"), None), Err(CommandError::NotOnPath { .. })));
    }

    #[test]
    fn a_name_with_a_slash_is_a_path() {
        let directory = tempfile::tempdir().unwrap();
        let tool = directory.path().join("tool");
        assert_eq!(resolve(tool.as_os_str(), None), Err(CommandError::NotFound { path: tool.clone() }));
        executable(&tool, 0o600);
        assert_eq!(resolve(tool.as_os_str(), None), Err(CommandError::NotExecutable { path: tool.clone() }));
        executable(&tool, 0o700);
        assert_eq!(resolve(tool.as_os_str(), None), Ok(tool));
    }
}
