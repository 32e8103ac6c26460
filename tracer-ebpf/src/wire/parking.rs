//! Why goroutines do not run: from where the runtime parks one to where it runs again, summed up in the kernel.
//!
//! As with system calls the sums stay in maps, so they are exact whatever is lost elsewhere.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, blocking::BUCKETS};

/// The name of the map from [`Key`] to [`Stats`].
pub const PARKINGS_MAP: &str = "PARKINGS";
/// The name of the map from a goroutine's id to its [`Parked`].
pub const PARKED_MAP: &str = "PARKED";
/// The name of the map that holds, at 0, which goroutines to follow: those whose id has none of these bits.
pub const SAMPLING_MAP: &str = "SAMPLING";
/// The name of the map that holds, at 0, what the handlers took of the target's time, in nanoseconds: of one that was
/// interrupted [`LONGEST_HANDLER`].
pub const SPENT_MAP: &str = "SPENT";

/// Who made a parked goroutine ready (runtime/proc.go, `ready`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    not(target_arch = "bpf"),
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[repr(u32)]
pub enum Waker {
    /// Nobody was seen to: the network poller hands out whole lists of goroutines, as the scheduler does of its own
    /// workers, and some need not park after all.
    Unseen = 0,
    /// The runtime, between goroutines: a timer, or the scheduler itself.
    Runtime = 1,
    /// Another goroutine.
    Goroutine = 2,
    /// A thread of which it cannot be told which goroutine it runs.
    Unknown = 3,
}

impl Waker {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Unseen, Self::Runtime, Self::Goroutine, Self::Unknown];

    /// The waker of that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

/// What is summed up apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Key {
    /// The stack's number in the map of stacks; [`super::blocking::NO_STACK`], or another negative number when it
    /// could not be taken.
    pub stack: i64,
    /// The address behind the go statement that made the goroutine; 0 when the runtime made it at its start.
    pub gopc: u64,
    /// The same of the goroutine that made it ready; 0 when none did.
    pub waker_gopc: u64,
    /// `g.waitreason`, which Go numbers anew from version to version.
    pub reason: u32,
    /// A [`Waker`] by number.
    pub waker: u32,
}

/// The sums of one [`Key`]. Every field only grows, atomically but for `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stats {
    /// How many ran again.
    pub count: u64,
    /// Nanoseconds from where they were parked to where they ran again.
    pub total: u64,
    /// Nanoseconds of `total` in which they were ready to run; of those alone whose waker was seen.
    pub runnable: u64,
    /// Nanoseconds of the longest. Of two that end at the same moment on two processors it may be the shorter.
    pub longest: u64,
    /// How many more were made ready that had been parked before gotrace came; their time is not known.
    pub joined: u64,
    /// How many took how long, by [`super::blocking::bucket`].
    pub histogram: [u32; BUCKETS],
}

/// A goroutine that is parked, or ready and does not run yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Parked {
    /// Since when, on the boot clock.
    pub since: u64,
    /// As in [`Key`].
    pub stack: i64,
    /// As in [`Key`].
    pub gopc: u64,
    /// When it was made ready, on the boot clock; 0 when it was not, or nobody was seen to.
    pub ready: u64,
    /// As in [`Key`].
    pub waker_gopc: u64,
    /// Which goroutine made it ready; 0 when none did.
    pub waker_goid: u64,
    /// As in [`Key`].
    pub reason: u32,
    /// As in [`Key`].
    pub waker: u32,
}

/// A goroutine runs again that was parked for as long as a slow call takes, until another one made it ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Woken {
    /// [`super::Probe::Woken`]; the time is when it runs again.
    pub header: Header,
    /// Which goroutine.
    pub goid: u64,
    /// How it was parked, and made ready.
    pub parked: Parked,
}

/// No handler takes as long by itself, in nanoseconds: what goes beyond is somebody else's time.
pub const LONGEST_HANDLER: u64 = 10_000;
