//! What kind of system call one is: a load from a table, where comparisons with every number would make the verifier
//! follow all that comes after them for each number by itself.

use tracer_ebpf::wire::syscall::number;

use super::opaque::opaque;

/// What is known of a system call by its number.
#[derive(Clone, Copy)]
pub(super) struct Class(u8);

/// Its first argument is a descriptor.
const TAKES_DESCRIPTOR: u8 = 1;
/// It says EAGAIN when its descriptor is not ready.
const MAY_BLOCK: u8 = 1 << 1;
/// The runtime itself makes such calls in a goroutine's name.
const THE_RUNTIMES: u8 = 1 << 2;
/// The runtime makes such calls with few bytes.
const THE_RUNTIMES_WHEN_SHORT: u8 = 1 << 3;

impl Class {
    /// Of what there is no number of.
    pub(super) const NONE: Self = Self(0);

    #[inline(always)]
    pub(super) fn of(syscall: u64) -> Self {
        if syscall >= NUMBERS as u64 {
            return Self::NONE;
        }
        // For the verifier, which is told in its own terms that this is one of the table's.
        let index = opaque(syscall) as usize % NUMBERS;
        // SAFETY: within the table. Volatile, so that the compiler does not make comparisons of it again.
        Self(unsafe { (&raw const CLASSES).cast::<u8>().add(index).read_volatile() })
    }

    /// Whether its first argument is a descriptor.
    #[inline(always)]
    pub(super) fn takes_descriptor(self) -> bool {
        self.0 & TAKES_DESCRIPTOR != 0
    }

    /// Whether it is one that says EAGAIN when its descriptor, its first argument, is not ready.
    #[inline(always)]
    pub(super) fn may_block(self) -> bool {
        self.0 & MAY_BLOCK != 0
    }

    /// Whether the runtime itself makes such calls in a goroutine's name: to wake threads, for memory, for its timers.
    /// They do not tell that the goroutine has gone on from its wait, for it is the runtime that wakes it.
    #[inline(always)]
    pub(super) fn is_the_runtimes(self, length: u64) -> bool {
        // `netpollBreak` writes to its eventfd, or to its pipe (runtime/netpoll_epoll.go).
        self.0 & THE_RUNTIMES != 0 || self.0 & THE_RUNTIMES_WHEN_SHORT != 0 && matches!(length, 1 | 8)
    }
}

const NUMBERS: usize = 512;

static CLASSES: [u8; NUMBERS] = classes();

const fn classes() -> [u8; NUMBERS] {
    let mut classes = [0; NUMBERS];
    mark(&mut classes, &BLOCKING, TAKES_DESCRIPTOR | MAY_BLOCK);
    mark(&mut classes, &OF_DESCRIPTORS, TAKES_DESCRIPTOR);
    mark(&mut classes, &OF_THE_RUNTIME, THE_RUNTIMES);
    mark(&mut classes, &[number::WRITE], THE_RUNTIMES_WHEN_SHORT);
    classes
}

const fn mark(classes: &mut [u8; NUMBERS], numbers: &[u64], class: u8) {
    let mut index = 0;
    while index < numbers.len() {
        classes[numbers[index] as usize] |= class;
        index += 1;
    }
}

const BLOCKING: [u64; 19] = [
    number::READ,
    number::WRITE,
    number::PREAD64,
    number::PWRITE64,
    number::READV,
    number::WRITEV,
    number::PREADV,
    number::PWRITEV,
    number::SENDFILE,
    number::CONNECT,
    number::ACCEPT,
    number::ACCEPT4,
    number::SENDTO,
    number::RECVFROM,
    number::SENDMSG,
    number::RECVMSG,
    number::SENDMMSG,
    number::RECVMMSG,
    number::SPLICE,
];

const OF_DESCRIPTORS: [u64; 15] = [
    number::FSTAT,
    number::LSEEK,
    number::IOCTL,
    number::FCNTL,
    number::FLOCK,
    number::FSYNC,
    number::FDATASYNC,
    number::FTRUNCATE,
    number::GETDENTS64,
    number::EPOLL_WAIT,
    number::EPOLL_PWAIT,
    number::EPOLL_PWAIT2,
    number::FALLOCATE,
    number::SYNC_FILE_RANGE,
    number::COPY_FILE_RANGE,
];

const OF_THE_RUNTIME: [u64; 21] = [
    number::FUTEX,
    number::MMAP,
    number::MUNMAP,
    number::MPROTECT,
    number::MADVISE,
    number::NANOSLEEP,
    number::SCHED_YIELD,
    number::GETPID,
    number::GETTID,
    // Where the kernel's clock cannot be read without a system call (some virtual machines'): `casgstatus` asks for the
    // time as the scheduler gives a goroutine its thread.
    number::CLOCK_GETTIME,
    number::TGKILL,
    number::CLONE,
    number::CLONE3,
    number::RT_SIGACTION,
    number::RT_SIGPROCMASK,
    number::SIGALTSTACK,
    number::PRCTL,
    number::RT_SIGRETURN,
    // A socket enters the poller when connect(2) has said EINPROGRESS already (net/fd_unix.go, `netFD.connect`).
    number::EPOLL_CTL,
    number::EPOLL_WAIT,
    number::EPOLL_PWAIT,
];
