//! In which PID namespace a process is: there its numbers count.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::process::{Process, ProcessError};

/// The inode of the initial PID namespace (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
const INITIAL_INODE: u64 = 0xefff_fffc;

/// A PID namespace, as the kernel's helpers ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidNamespace {
    /// The device that its file is on.
    pub device: u64,
    /// Its file's inode.
    pub inode: u64,
}

/// The namespace that gotrace runs in; none when it is the initial one.
///
/// # Errors
/// When /proc is not mounted.
pub fn current() -> io::Result<Option<PidNamespace>> {
    of(Path::new("/proc/self/ns/pid"))
}

impl Process {
    /// The namespace that it runs in; none when it is the initial one.
    ///
    /// # Errors
    /// When it has ended, or may not be looked into.
    pub fn pid_namespace(&self) -> Result<Option<PidNamespace>, ProcessError> {
        of(&self.path("ns/pid")).map_err(|error| self.failed("its PID namespace", &error))
    }
}

fn of(file: &Path) -> io::Result<Option<PidNamespace>> {
    let metadata = std::fs::metadata(file)?;
    let namespace = PidNamespace { device: metadata.dev(), inode: metadata.ino() };
    Ok((namespace.inode != INITIAL_INODE).then_some(namespace))
}
