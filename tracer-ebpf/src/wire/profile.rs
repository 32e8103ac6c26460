//! Where a running program is on the CPU: samples at a steady rate, counted in the kernel.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The name of the map from a [`Sample`] to how often it was met.
pub const SAMPLES_MAP: &str = "SAMPLES";

/// [`Sample::syscall`]: it was not in a system call.
pub const IN_USER_CODE: u32 = u32::MAX;

/// What samples are counted apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sample {
    /// The stack's number in the map of stacks, or a negative error number when it could not be taken.
    pub stack: i64,
    /// The address behind the go statement that made the goroutine; 0 when none ran.
    pub gopc: u64,
    /// A [`super::blocking::Caller`] by number: who ran.
    pub caller: u32,
    /// The number of the system call that it was in, or [`IN_USER_CODE`].
    pub syscall: u32,
}
