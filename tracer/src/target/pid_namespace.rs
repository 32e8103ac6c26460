//! In which PID namespace gotrace counts processes.

use std::io;
use std::os::unix::fs::MetadataExt as _;

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
    let metadata = std::fs::metadata("/proc/self/ns/pid")?;
    let namespace = PidNamespace { device: metadata.dev(), inode: metadata.ino() };
    Ok((namespace.inode != INITIAL_INODE).then_some(namespace))
}
