//! What a system call or a network wait is spent on, by its number, its descriptor's object and its stack.

use tracer_ebpf::wire::syscall::wait_kind;

use super::super::waits::{resolves_names, syscall_name};
use super::stacks::{Resolved, has_any};
use crate::event::WaitKind;
use crate::event::blocking::{Key, Kind};

/// What time is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockingCause {
    /// Sockets.
    Network,
    /// Files, directories, pipes, devices.
    File,
    /// A name to be resolved.
    Dns,
    /// A lock: of a file, of the runtime, of C code.
    Lock,
    /// A sleep in the kernel; `time.Sleep` makes no system call.
    Sleep,
    /// Another process: to be made, to write into its pipe, to end.
    Child,
    /// Anything else.
    Other,
}

impl BlockingCause {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Network, Self::File, Self::Dns, Self::Lock, Self::Sleep, Self::Child, Self::Other];

    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::File => "file",
            Self::Dns => "dns",
            Self::Lock => "lock",
            Self::Sleep => "sleep",
            Self::Child => "child",
            Self::Other => "other",
        }
    }

    pub(super) fn of(key: &Key, stack: &Resolved) -> Self {
        let resolves = resolves_names(&stack.frames)
            || stack.origin.as_ref().is_some_and(|origin| resolves_names(std::slice::from_ref(origin)));
        match Self::without_names(key, stack) {
            Self::Network | Self::Lock if resolves => Self::Dns,
            other => other,
        }
    }

    fn without_names(key: &Key, stack: &Resolved) -> Self {
        // A pipe's reader; where the child is made, the parent reads whether its execve went well.
        if has_any(&stack.frames, &["os/exec.", "os.(*Process).", "syscall.forkExec", "syscall.forkAndExec"])
        {
            return Self::Child;
        }
        if key.kind != Kind::Call {
            return if matches!(key.file_type, None | Some(libc::S_IFSOCK)) {
                Self::Network
            } else {
                Self::File
            };
        }
        match syscall_name(key.syscall).as_str() {
            "wait4" | "waitid" | "vfork" | "fork" => Self::Child,
            "flock" => Self::Lock,
            // Of all that it does only a lock waits; but a call may take long for want of a CPU.
            "fcntl" if stack.frames.is_empty() || has_any(&stack.frames, &LOCKS) => Self::Lock,
            "fcntl" => Self::Other,
            // Who wakes another does not wait.
            "futex" if has_any(&stack.frames, &["runtime.futexwakeup"]) => Self::Other,
            // They wait for whatever was registered.
            "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => Self::Other,
            name if PATHS.contains(&name) => Self::File,
            _ => match (wait_kind(key.syscall), key.file_type) {
                (WaitKind::File | WaitKind::Network | WaitKind::Other, Some(libc::S_IFSOCK)) => Self::Network,
                (WaitKind::File | WaitKind::Network | WaitKind::Other, Some(_)) | (WaitKind::File, None) => {
                    Self::File
                }
                (WaitKind::Network, None) => Self::Network,
                (WaitKind::Sleep, _) => Self::Sleep,
                (WaitKind::Futex, _) => Self::Lock,
                _ => Self::Other,
            },
        }
    }
}

/// Who locks by fcntl(2).
const LOCKS: [&str; 4] = [
    "syscall.FcntlFlock",
    "golang.org/x/sys/unix.FcntlFlock",
    "cmd/go/internal/lockedfile/",
    "internal/filelock.",
];

/// System calls about files that `wait_kind` has no word for: they name a path, or write what was written.
const PATHS: [&str; 32] = [
    "access",
    "chdir",
    "chmod",
    "chown",
    "copy_file_range",
    "creat",
    "faccessat",
    "faccessat2",
    "fallocate",
    "fchmodat",
    "fstat",
    "fstatfs",
    "ftruncate",
    "link",
    "lstat",
    "mkdir",
    "mkdirat",
    "msync",
    "openat2",
    "readlink",
    "readlinkat",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "stat",
    "statfs",
    "symlinkat",
    "sync",
    "sync_file_range",
    "syncfs",
    "unlinkat",
];
