//! What a system call or a network wait is spent on, by its number, its descriptor's object and its stack.

use std::sync::Arc;

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
        let resolves = || stack.frames.iter().map(Arc::as_ref).chain(&stack.origin).any(resolves_names);
        match Self::without_names(key, stack) {
            Self::Network | Self::Lock if resolves() => Self::Dns,
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
            // These wait for whatever was registered.
            "fcntl" | "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => Self::Other,
            // Who wakes another does not wait, and who stops the world waits for all who run, not for a lock.
            "futex" if has_any(&stack.frames, &NO_LOCKS) => Self::Other,
            name if PATHS.contains(&name) => Self::File,
            _ => match (wait_kind(key.syscall), key.file_type) {
                (WaitKind::Sleep, _) => Self::Sleep,
                (WaitKind::Futex, _) => Self::Lock,
                // What is closed has no object any more.
                (WaitKind::File, None) if has_any(&stack.frames, &["net.(*"]) => Self::Network,
                (WaitKind::Network, None)
                | (WaitKind::File | WaitKind::Network | WaitKind::Other, Some(libc::S_IFSOCK)) => {
                    Self::Network
                }
                (WaitKind::File, None) | (WaitKind::File | WaitKind::Network | WaitKind::Other, Some(_)) => {
                    Self::File
                }
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

/// Who calls futex(2) without a lock to wait for; `forEachP` waits as a stop does.
const NO_LOCKS: [&str; 3] = ["runtime.futexwakeup", "runtime.stopTheWorldWithSema", "runtime.forEachP"];

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::blocking::{Caller, StackTaken};
    use crate::target::gobin::Frame;

    fn frame(function: &&str) -> Frame {
        Frame { function: (*function).into(), file: None, line: 0, inlined: false, begins: 0, address: None }
    }

    fn cause(
        kind: Kind,
        syscall: u64,
        file_type: Option<u32>,
        stack: &[&str],
        origin: Option<&str>,
    ) -> &'static str {
        let (caller, stack_taken) = (Caller::Goroutine, StackTaken::Taken(0));
        let key = Key { kind, caller, syscall, file_type, gopc: None, stack: stack_taken };
        let frames = stack.iter().map(frame).map(Arc::new).collect();
        BlockingCause::of(&key, &Resolved { frames, origin: origin.as_ref().map(frame), may_idle: false })
            .name()
    }

    #[test]
    fn a_call_is_told_by_number_object_and_stack() {
        let call = |syscall, file_type, stack: &[&str]| cause(Kind::Call, syscall, file_type, stack, None);
        let (read, close, fcntl, wait4, futex, poll, rename) = (0, 3, 72, 61, 202, 7, 82);
        let main = ["syscall.Syscall", "main.main"];
        assert_eq!(call(read, Some(libc::S_IFREG), &main), "file");
        assert_eq!(call(read, Some(libc::S_IFIFO), &main), "file");
        assert_eq!(call(read, Some(libc::S_IFSOCK), &main), "network");
        assert_eq!(call(read, Some(libc::S_IFIFO), &["syscall.read", "os/exec.(*Cmd).Start.func2"]), "child");
        assert_eq!(call(wait4, None, &main), "child");
        assert_eq!(call(fcntl, Some(libc::S_IFREG), &["syscall.fcntl", "syscall.FcntlFlock"]), "lock");
        assert_eq!(call(fcntl, Some(libc::S_IFREG), &main), "other");
        assert_eq!(call(futex, None, &["runtime.futexsleep", "runtime.lock2"]), "lock");
        assert_eq!(call(futex, None, &["runtime.futexwakeup", "runtime.ready"]), "other");
        let stops = [
            "runtime.futexsleep",
            "runtime.notetsleep",
            "runtime.stopTheWorldWithSema",
            "runtime.systemstack",
        ];
        assert_eq!(call(futex, None, &stops), "other");
        assert_eq!(call(rename, None, &main), "file");
        assert_eq!(call(close, None, &["syscall.Close", "net.(*netFD).Close"]), "network");
        assert_eq!(call(close, None, &["syscall.Close", "os.(*File).Close"]), "file");
        assert_eq!(call(poll, None, &main), "network");
        assert_eq!(call(9999, None, &main), "other");
    }

    #[test]
    fn names_are_resolved_by_the_stack_or_by_who_made_the_goroutine() {
        let resolver = ["internal/poll.(*FD).Read", "net.(*Resolver).exchange"];
        assert_eq!(cause(Kind::NetworkWait, 0, Some(libc::S_IFSOCK), &resolver, None), "dns");
        // The C library's resolver is on a stack of its own.
        assert_eq!(cause(Kind::Call, 7, None, &["(not Go code)"], Some("net.doBlockingWithCtx[...]")), "dns");
        // Its files are files.
        assert_eq!(cause(Kind::Call, 0, Some(libc::S_IFREG), &resolver, None), "file");
        let closes = ["internal/poll.(*FD).Close", "main.main"];
        assert_eq!(cause(Kind::NoRetry, 0, Some(libc::S_IFSOCK), &closes, None), "network");
    }
}
