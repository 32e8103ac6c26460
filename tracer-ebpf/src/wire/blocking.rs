//! What the system calls of a running program cost, summed up in the kernel, and the slow ones one by one.
//!
//! Sums stay in maps, so they are exact whatever the ring buffer loses. User space reads the maps.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Header;

/// The name of the map from [`Key`] to [`Stats`].
pub const CALLS_MAP: &str = "CALLS";
/// The name of the array of the [`Stats`] of what took no stack, each at its [`brief_index`].
pub const BRIEF_MAP: &str = "BRIEF";
/// The name of the map from a thread's id to its [`Thread`].
pub const THREADS_MAP: &str = "THREADS";
/// The name of the map from the address of a goroutine's `g` to its [`NetworkWait`].
pub const NETWORK_WAITS_MAP: &str = "NETWORK_WAITS";
/// The name of the map of stacks.
pub const STACKS_MAP: &str = "STACKS";
/// The name of the map of stacks' numbers, which the kernel side alone uses.
pub const STACK_NUMBERS_MAP: &str = "STACK_NUMBERS";
/// How many return addresses a stack of [`STACKS_MAP`] holds at most (`PERF_MAX_STACK_DEPTH`).
pub const STACK_DEPTH: usize = 127;

/// How a time was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    not(target_arch = "bpf"),
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[repr(u32)]
pub enum Kind {
    /// In a system call.
    Call = 0,
    /// Parked in the network poller: from the system call that would have blocked to the same goroutine's next
    /// one on the same descriptor.
    NetworkWait = 1,
    /// The same, but the goroutine then made a system call on another descriptor, or went to the end of its
    /// life: the deadline passed, or it was told to stop. The time is an upper bound.
    NoRetry = 2,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Call, Self::NetworkWait, Self::NoRetry];

    /// The kind of that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

/// Who made a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    not(target_arch = "bpf"),
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[repr(u32)]
pub enum Caller {
    /// A thread of which no Go runtime's `m` is known: C code's own, or one that has not run Go code yet.
    Unknown = 0,
    /// The runtime, between goroutines: its scheduler, its poller, its monitor thread.
    Runtime = 1,
    /// A goroutine.
    Goroutine = 2,
}

impl Caller {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Runtime, Self::Goroutine];

    /// The caller of that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

/// [`Key::stack`]: it was too short to take the stack.
pub const NO_STACK: i64 = -1;

/// What is summed up apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Key {
    /// The stack's number in [`STACKS_MAP`], [`NO_STACK`], or another negative number when it could not be taken.
    pub stack: i64,
    /// The address behind the go statement that made the goroutine; 0 when no goroutine called, or it took no stack.
    pub gopc: u64,
    /// The system call's number; for a wait, that of the call that would have blocked.
    pub syscall: u32,
    /// A [`Kind`] by number.
    pub kind: u32,
    /// A [`Caller`] by number.
    pub caller: u32,
    /// The type of the descriptor's object: the `S_IFMT` bits of its inode's mode; 0 when it is not known, as for
    /// whatever took no stack.
    pub object: u32,
}

/// How many system calls have a place in the array of brief sums; x86-64's numbers end below.
const BRIEF_SYSCALLS: u64 = 512;
/// What has a place apart for each: calls by who made them, and the waits of goroutines.
const BRIEF_CLASSES: [(Kind, Caller); 5] = [
    (Kind::Call, Caller::Unknown),
    (Kind::Call, Caller::Runtime),
    (Kind::Call, Caller::Goroutine),
    (Kind::NetworkWait, Caller::Goroutine),
    (Kind::NoRetry, Caller::Goroutine),
];
/// How many entries that array has.
pub const BRIEF_ENTRIES: u32 = BRIEF_SYSCALLS as u32 * BRIEF_CLASSES.len() as u32;

/// Where a time that took no stack is summed up: only by the call's number, the kind, and who made it. None for a
/// number that is too large.
#[must_use]
#[inline]
pub const fn brief_index(syscall: u64, kind: Kind, caller: Caller) -> Option<u32> {
    // Goroutines' calls are at 2, their waits follow.
    let class = caller as u32 + kind as u32;
    if syscall < BRIEF_SYSCALLS { Some(syscall as u32 * BRIEF_CLASSES.len() as u32 + class) } else { None }
}

/// What is summed up at an index of that array.
#[must_use]
pub const fn brief_key(index: u32) -> Key {
    let classes = BRIEF_CLASSES.len() as u32;
    let (kind, caller) = BRIEF_CLASSES[(index % classes) as usize];
    let (syscall, kind, caller) = (index / classes, kind as u32, caller as u32);
    Key { stack: NO_STACK, gopc: 0, syscall, kind, caller, object: 0 }
}

/// Four to each doubling, from 256 ns on.
pub const BUCKETS: usize = 128;

/// Below this many nanoseconds all is one bucket.
const FIRST: u32 = 8;

/// The bucket of a duration in nanoseconds: each is about 19 % wide, the first holds all that is shorter and the
/// last all that is longer.
#[must_use]
#[inline]
pub const fn bucket(duration: u64) -> usize {
    let top = floor_log2(duration);
    if top < FIRST {
        return 0;
    }
    let quarter = (duration >> (top - 2)) & 3;
    let index = ((top - FIRST) as usize) * 4 + quarter as usize;
    if index < BUCKETS { index } else { BUCKETS - 1 }
}

/// The first duration, in nanoseconds, that is too long for the bucket.
#[must_use]
pub const fn bucket_end(index: usize) -> u64 {
    let next = index + 1;
    (4 + (next % 4) as u64) << (next / 4 + FIRST as usize - 2)
}

/// BPF has no instruction that counts leading zeroes. Without a branch: the verifier would follow all that comes
/// behind each way through them.
#[inline]
const fn floor_log2(value: u64) -> u32 {
    // Every bit below the highest is set, and the bits are counted.
    let mut below = value >> 1;
    let mut shift = 1;
    while shift < 64 {
        below |= below >> shift;
        shift *= 2;
    }
    below.count_ones()
}

/// The sums of one [`Key`]. Every field only grows, atomically but for `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stats {
    /// How many returned, or waits that ended.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Nanoseconds of all of them.
    pub total: u64,
    /// Nanoseconds of the longest. Of two that end at the same moment on two processors it may be the shorter.
    pub longest: u64,
    /// How many more returned that had begun before gotrace came; their time is not known.
    pub joined: u64,
    /// How many took how long, by [`bucket`].
    pub histogram: [u32; BUCKETS],
}

/// A thread of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Thread {
    /// When it entered the system call that it is in, on the boot clock; 0 when it is in none.
    pub entered: u64,
    /// That system call's number.
    pub syscall: u64,
    /// The Go runtime's `m` of it; 0 until it is known.
    pub m: u64,
    /// The goroutine that made its last system call, by the address of its `g`; 0 when none did.
    pub g: u64,
    /// The goroutine that was last identified.
    pub goid: u64,
    /// The address behind the go statement that made that one.
    pub gopc: u64,
}

/// A goroutine that was told to try again, and has not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NetworkWait {
    /// Since when, on the boot clock; 0 when it does not wait.
    pub since: u64,
    /// Which goroutine: the runtime uses a `g` again.
    pub goid: u64,
    /// The system call that would have blocked.
    pub syscall: u32,
    /// Its descriptor.
    pub fd: u32,
}

/// A slow system call that returned, or a slow wait that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Slow {
    /// [`super::Probe::Slow`]; the time is its end.
    pub header: Header,
    /// Nanoseconds.
    pub duration: u64,
    /// What it was summed up under.
    pub key: Key,
    /// The goroutine; 0 when none called.
    pub goid: u64,
    /// What the system call returned, as a signed number.
    pub result: u64,
    /// The first three arguments; of a wait, those of the call that tried again.
    pub arguments: [u64; 3],
    /// The descriptor's object, as the kernel had it at that moment.
    pub object: Object,
}

/// How much of a file's name crosses the ring buffer.
pub const NAME_LEN: usize = 40;

/// What a descriptor stood for. All zeroes when the call has none, or it could not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Object {
    /// The inode's number.
    pub inode: u64,
    /// The inode's type and permissions, as in stat(2); 0 when it is not known.
    pub mode: u32,
    /// The device, as the kernel packs it.
    pub device: u32,
    /// A socket's address family; 0 when it is none or it is not known.
    pub family: u16,
    /// A socket's own port.
    pub local_port: u16,
    /// Its peer's port, in network byte order.
    pub peer_port: u16,
    /// `SOCK_STREAM` and so on.
    pub socket_type: u16,
    /// A socket's own address; IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Its peer's.
    pub peer: [u8; 16],
    /// The last part of a file's path, up to its terminating zero or cut; empty when it has none.
    pub name: [u8; NAME_LEN],
}

impl Object {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        inode: 0,
        mode: 0,
        device: 0,
        family: 0,
        local_port: 0,
        peer_port: 0,
        socket_type: 0,
        local: [0; 16],
        peer: [0; 16],
        name: [0; NAME_LEN],
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_time_is_summed_up_under_its_own_key() {
        for (kind, caller) in BRIEF_CLASSES {
            let index = brief_index(511, kind, caller).unwrap();
            let key = brief_key(index);
            assert_eq!((key.syscall, key.kind, key.caller), (511, kind as u32, caller as u32));
            assert_eq!(key.stack, NO_STACK);
            assert!(index < BRIEF_ENTRIES);
        }
        assert_eq!(brief_index(512, Kind::Call, Caller::Goroutine), None);
    }

    #[test]
    fn a_duration_is_in_the_bucket_that_ends_behind_it() {
        for duration in [0, 1, 255, 256, 257, 319, 320, 1_000, 999_999, 1_000_000, 50_000_000, 1 << 39] {
            let index = bucket(duration);
            assert!(duration < bucket_end(index), "{duration} in {index}");
            assert!(index == 0 || duration >= bucket_end(index - 1), "{duration} in {index}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_end(0), 320);
    }
}
