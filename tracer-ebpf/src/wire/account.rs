//! Where a thread's time went, summed up since the process called execve.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a thread waits for while it is off the CPU and could not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    not(target_arch = "bpf"),
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[repr(u32)]
pub enum WaitKind {
    /// A system call on files, or one that reads or writes whatever a descriptor stands for.
    File = 0,
    /// A system call on sockets, or a goroutine parked in the network poller.
    Network = 1,
    /// A futex that no parked goroutine explains: the runtime's own locks, or C code's.
    Futex = 2,
    /// A sleep, of the thread or of the goroutine.
    Sleep = 3,
    /// A page that had to be fetched.
    PageFault = 4,
    /// The goroutine is parked until another one wakes it.
    Goroutine = 5,
    /// The goroutine waits for the garbage collector.
    Gc = 6,
    /// Anything else: a child process, a stop by a signal, other system calls.
    Other = 7,
}

impl WaitKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::File,
        Self::Network,
        Self::Futex,
        Self::Sleep,
        Self::PageFault,
        Self::Goroutine,
        Self::Gc,
        Self::Other,
    ];

    /// The kind of that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

/// A thread's account: every nanosecond is in exactly one of `on_cpu`, `runnable` and `blocked`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[cfg_attr(not(target_arch = "bpf"), derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Account {
    /// Nanoseconds on a CPU, in the program or in the kernel on its behalf.
    pub on_cpu: u64,
    /// Nanoseconds ready to run, without a CPU.
    pub runnable: u64,
    /// Nanoseconds off the CPU, by [`WaitKind`].
    pub blocked: [u64; WaitKind::ALL.len()],
    /// Page faults that needed no disk; all ones when unknown.
    pub minor_faults: u64,
    /// Page faults that did; all ones when unknown.
    pub major_faults: u64,
    /// System calls that returned.
    pub syscalls: u64,
}

/// A single wait of the main thread that was long enough to be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Wait {
    /// [`super::Probe::Wait`]
    pub header: super::Header,
    /// When it left the CPU, on the boot clock.
    pub start: u64,
    /// How long it could not run, in nanoseconds.
    pub duration: u64,
    /// The instruction that the thread was at.
    pub ip: u64,
    /// The system call's number; all ones when it was not in one.
    pub syscall: u64,
    /// The system call's first three arguments.
    pub arguments: [u64; 3],
    /// When it waits in the network poller: the number of the system call that would have blocked, and its
    /// descriptor; else all ones.
    pub polled_syscall: u64,
    /// See `polled_syscall`.
    pub polled_fd: u64,
    /// The main goroutine's id, 0 when it is not known.
    pub goid: u64,
    /// What it waited for, a [`WaitKind`] by number.
    pub kind: u32,
    /// `g.waitreason` when the main goroutine was parked, else all ones.
    pub wait_reason: u32,
    /// How many of `stack` are there.
    pub depth: u64,
    /// Return addresses, the innermost first.
    pub stack: [u64; MAX_DEPTH],
}

/// How many return addresses a stack holds at most.
pub const MAX_DEPTH: usize = 48;

#[cfg(test)]
mod tests {
    use super::WaitKind;

    #[test]
    fn a_kind_is_found_by_its_own_number() {
        for kind in WaitKind::ALL {
            assert_eq!(WaitKind::from_number(kind as u32), Some(kind));
        }
        assert_eq!(WaitKind::from_number(WaitKind::ALL.len() as u32), None);
    }
}
