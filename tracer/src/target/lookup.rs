//! Which process is meant by what somebody typed: a number, a name, or the path of a binary.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::descriptor::identity;
use super::process::{DELETED, Process, ProcessError};

impl Process {
    /// The process of that number or name, or that runs the binary at that path; a path has a slash in it.
    ///
    /// # Errors
    /// When there is none, more than one, or nothing that can be looked at.
    pub fn find(who: &str) -> Result<Self, ProcessError> {
        if let Ok(pid) = who.parse() {
            return Self::of_pid(pid);
        }
        let is_path = who.contains('/');
        let pids = if is_path { running(Path::new(who)) } else { named(who) };
        match (&pids[..], is_path) {
            ([], false) => Err(ProcessError::NoneNamed { name: who.to_owned() }),
            ([], true) => Err(ProcessError::NoneRuns { path: who.into() }),
            ([pid], _) => Self::of_pid(*pid),
            (_, false) => Err(ProcessError::SeveralNamed { name: who.to_owned(), pids }),
            (_, true) => Err(ProcessError::SeveralRun { path: who.into(), pids }),
        }
    }
}

/// Every process whose program, name or first argument is called so; neither gotrace itself nor its parents
/// under the same name (`sudo gotrace attach server`).
fn named(name: &str) -> Vec<u32> {
    those(|folder| is_named(folder, name))
}

/// Every process that runs the file at that path, in whatever mount namespace, or that began with one which was
/// there before.
fn running(path: &Path) -> Vec<u32> {
    let file = identity(path);
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let absolute = fs::canonicalize(path).unwrap_or(absolute);
    let before = [absolute.as_os_str().as_bytes(), DELETED].concat();
    those(|folder| {
        let exe = folder.join("exe");
        file.is_some() && identity(&exe) == file
            || fs::read_link(&exe).is_ok_and(|exe| exe.as_os_str() == OsStr::from_bytes(&before))
    })
}

/// The numbers of the processes that fit, but for gotrace's own.
fn those(fits: impl Fn(&Path) -> bool) -> Vec<u32> {
    let own = std::process::id();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own && fits(Path::new(&format!("/proc/{pid}"))))
        .collect();
    pids.sort_unstable();
    pids
}

fn is_named(folder: &Path, name: &str) -> bool {
    if let Ok(exe) = fs::read_link(folder.join("exe")) {
        let exe = exe.to_string_lossy();
        return base(exe.strip_suffix(" (deleted)").unwrap_or(&exe)) == name || has_argument(folder, name);
    }
    // Without the right to see its program there is still its name, of at most 15 bytes.
    fs::read_to_string(folder.join("comm"))
        .is_ok_and(|comm| name.as_bytes().get(..name.len().min(15)) == Some(comm.trim_end().as_bytes()))
}

/// Whether it was started under that name: through a link, say.
fn has_argument(folder: &Path, name: &str) -> bool {
    let arguments = fs::read(folder.join("cmdline")).unwrap_or_default();
    let first = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
    base(&String::from_utf8_lossy(first)) == name
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
