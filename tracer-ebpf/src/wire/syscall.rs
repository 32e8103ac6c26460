//! System calls of the program's start: which of them wait for what, and those whose objects tell why a start
//! is slow.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, account::WaitKind};

/// Numbers of x86-64's system calls (arch/x86/entry/syscalls/syscall_64.tbl).
pub mod number {
    #![expect(missing_docs, reason = "the kernel's own names")]
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const OPEN: u64 = 2;
    pub const CLOSE: u64 = 3;
    pub const FSTAT: u64 = 5;
    pub const POLL: u64 = 7;
    pub const LSEEK: u64 = 8;
    pub const MMAP: u64 = 9;
    pub const MPROTECT: u64 = 10;
    pub const MUNMAP: u64 = 11;
    pub const IOCTL: u64 = 16;
    pub const RT_SIGACTION: u64 = 13;
    pub const RT_SIGPROCMASK: u64 = 14;
    pub const RT_SIGRETURN: u64 = 15;
    pub const PREAD64: u64 = 17;
    pub const PWRITE64: u64 = 18;
    pub const READV: u64 = 19;
    pub const WRITEV: u64 = 20;
    pub const SELECT: u64 = 23;
    pub const SCHED_YIELD: u64 = 24;
    pub const MADVISE: u64 = 28;
    pub const NANOSLEEP: u64 = 35;
    pub const GETPID: u64 = 39;
    pub const SENDFILE: u64 = 40;
    pub const CONNECT: u64 = 42;
    pub const ACCEPT: u64 = 43;
    pub const SENDTO: u64 = 44;
    pub const RECVFROM: u64 = 45;
    pub const SENDMSG: u64 = 46;
    pub const RECVMSG: u64 = 47;
    pub const LISTEN: u64 = 50;
    pub const CLONE: u64 = 56;
    pub const EXECVE: u64 = 59;
    pub const WAIT4: u64 = 61;
    pub const FCNTL: u64 = 72;
    pub const FLOCK: u64 = 73;
    pub const FSYNC: u64 = 74;
    pub const FDATASYNC: u64 = 75;
    pub const FTRUNCATE: u64 = 77;
    pub const SIGALTSTACK: u64 = 131;
    pub const PRCTL: u64 = 157;
    pub const GETTID: u64 = 186;
    pub const GETDENTS64: u64 = 217;
    pub const TGKILL: u64 = 234;
    pub const FUTEX: u64 = 202;
    pub const CLOCK_GETTIME: u64 = 228;
    pub const CLOCK_NANOSLEEP: u64 = 230;
    pub const EPOLL_WAIT: u64 = 232;
    pub const EPOLL_CTL: u64 = 233;
    pub const OPENAT: u64 = 257;
    pub const NEWFSTATAT: u64 = 262;
    pub const PSELECT6: u64 = 270;
    pub const PPOLL: u64 = 271;
    pub const EPOLL_PWAIT: u64 = 281;
    pub const ACCEPT4: u64 = 288;
    pub const RECVMMSG: u64 = 299;
    pub const SENDMMSG: u64 = 307;
    pub const SPLICE: u64 = 275;
    pub const SYNC_FILE_RANGE: u64 = 277;
    pub const FALLOCATE: u64 = 285;
    pub const PREADV: u64 = 295;
    pub const PWRITEV: u64 = 296;
    pub const COPY_FILE_RANGE: u64 = 326;
    pub const STATX: u64 = 332;
    pub const CLONE3: u64 = 435;
    pub const EPOLL_PWAIT2: u64 = 441;
}

/// What a thread that sleeps in this system call waits for, as far as the number tells.
#[must_use]
pub const fn wait_kind(syscall: u64) -> WaitKind {
    use number::{
        ACCEPT, ACCEPT4, CLOCK_NANOSLEEP, CLOSE, CONNECT, EPOLL_PWAIT, EPOLL_PWAIT2, EPOLL_WAIT, FCNTL,
        FDATASYNC, FLOCK, FSYNC, FUTEX, GETDENTS64, MMAP, MPROTECT, MUNMAP, NANOSLEEP, NEWFSTATAT, OPEN,
        OPENAT, POLL, PPOLL, PREAD64, PREADV, PSELECT6, PWRITE64, PWRITEV, READ, READV, RECVFROM, RECVMMSG,
        RECVMSG, SELECT, SENDFILE, SENDMMSG, SENDMSG, SENDTO, STATX, WRITE, WRITEV,
    };
    match syscall {
        READ | WRITE | OPEN | CLOSE | PREAD64 | PWRITE64 | READV | WRITEV | PREADV | PWRITEV | SENDFILE
        | FCNTL | FLOCK | FSYNC | FDATASYNC | GETDENTS64 | OPENAT | NEWFSTATAT | STATX | MMAP | MPROTECT
        | MUNMAP => WaitKind::File,
        POLL | PPOLL | SELECT | PSELECT6 | EPOLL_WAIT | EPOLL_PWAIT | EPOLL_PWAIT2 | CONNECT | ACCEPT
        | ACCEPT4 | SENDTO | RECVFROM | SENDMSG | RECVMSG | SENDMMSG | RECVMMSG => WaitKind::Network,
        NANOSLEEP | CLOCK_NANOSLEEP => WaitKind::Sleep,
        FUTEX => WaitKind::Futex,
        _ => WaitKind::Other,
    }
}

/// How much of a path, a socket address or a write crosses the ring buffer.
pub const OBJECT_LEN: usize = 256;

/// A system call that returned and whose object matters: a file opened or mapped, an address connected, a
/// program executed, a socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Call {
    /// [`super::Probe::Call`]; the time is its return.
    pub header: Header,
    /// Its number.
    pub syscall: u64,
    /// What it returned, as a signed number.
    pub result: u64,
    /// Its first six arguments.
    pub arguments: [u64; 6],
    /// How many bytes of `object` are meant; all ones when they could not be read.
    pub object_len: u64,
    /// The path without its terminating zero, or the socket address as the kernel keeps it.
    pub object: [u8; OBJECT_LEN],
}
