//! What the kernel asks by.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};

/// What it asks.
const EXECUTES: MaskFlags = MaskFlags::FAN_OPEN_EXEC_PERM;

/// A group of fanotify's that is asked before a file is executed.
#[derive(Debug)]
pub(super) struct Group(Fanotify);

impl Group {
    /// Makes one. Nothing is asked yet.
    ///
    /// # Errors
    /// When the kernel does not let gotrace, or cannot.
    pub(super) fn open() -> io::Result<Self> {
        let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let files = EventFFlags::O_RDONLY | EventFFlags::O_LARGEFILE | EventFFlags::O_CLOEXEC;
        Ok(Self(Fanotify::init(flags, files)?))
    }

    /// From now on it asks of every file of the file system that this path is in.
    ///
    /// # Errors
    /// When there is no such path, or the file system cannot be asked of.
    pub(super) fn watch(&self, path: &Path) -> io::Result<()> {
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
        Ok(self.0.mark(flags, EXECUTES, AT_FDCWD, Some(path))?)
    }

    /// It does not ask of that file any more, until it is written to.
    pub(super) fn ignore(&self, file: &File) {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_IGNORED_MASK;
        let mark = |flags| self.0.mark(flags, EXECUTES, AT_FDCWD, Some(path.as_str()));
        // Which need not stay in memory for that; kernels before 5.19 know no such marks.
        let marked = mark(flags | MarkFlags::FAN_MARK_EVICTABLE).or_else(|_| mark(flags));
        if let Err(error) = marked {
            tracing::debug!("{path} is asked of again: {error}");
        }
    }

    /// It asks of nothing any more.
    pub(super) fn forget(&self) {
        let flags = MarkFlags::FAN_MARK_FLUSH | MarkFlags::FAN_MARK_FILESYSTEM;
        if let Err(error) = self.0.mark(flags, MaskFlags::empty(), AT_FDCWD, Some("/")) {
            tracing::warn!("what is executed is still asked of: {error}");
        }
    }

    /// What it asks now. None without a question.
    pub(super) fn questions(&self) -> Vec<FanotifyEvent> {
        self.0.read_events().unwrap_or_default()
    }

    /// Lets it go on.
    pub(super) fn allow(&self, question: &FanotifyEvent) {
        let Some(file) = question.fd() else { return };
        if let Err(error) = self.0.write_response(FanotifyResponse::new(file, Response::FAN_ALLOW)) {
            tracing::debug!("an answer was not heard: {error}");
        }
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
