//! Every process of some binaries: which of them one runs, and execs of files that may be such a binary.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Header;

/// A process that is watched came by its first site. It follows the record of its exec; captures of older versions
/// have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Origin {
    /// [`super::Probe::Origin`], and the process for the thread.
    pub header: Header,
    /// The number that user space gave the binary.
    pub binary: u64,
    /// The process's control group of version 2, by the kernel's number.
    pub cgroup: u64,
}

/// An exec of a file that was not told of this control group lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NewFile {
    /// [`super::Probe::NewFile`], and the process for the thread.
    pub header: Header,
    /// Which file, and where.
    pub file: FileKey,
}

/// A process that was watched from its exec on listens for TCP connections, for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Listen {
    /// [`super::Probe::Listen`], and the process for the thread.
    pub header: Header,
}

/// A file as the kernel has it, which is not always as `stat` tells it (overlayfs, btrfs), and a control group that
/// it is executed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FileKey {
    /// `super_block.s_dev`
    pub device: u64,
    /// `inode.i_ino`; 0 when it is not known.
    pub inode: u64,
    /// The control group of version 2, by the kernel's number.
    pub cgroup: u64,
}

/// The name of the map of the processes that are watched and have not reached `main.main`.
pub const WATCHED_MAP: &str = "WATCHED";

/// The name of the map of the processes that were watched and do not listen yet.
pub const SILENT_MAP: &str = "SILENT";

/// The name of the map that has when a file was told last, by its [`FileKey`].
pub const FILES_TOLD_MAP: &str = "FILES_TOLD";

/// For so long a file is not told again, in nanoseconds.
pub const FILE_IS_NEW_AFTER: u64 = 5_000_000_000;
