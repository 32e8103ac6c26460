//! What each probe saw and what of it was lost, counted in the kernel.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One probe's counters. `hits` = records delivered + `dropped`, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Counters {
    /// How often the probe ran in the target.
    pub hits: u64,
    /// How many of its records found the ring buffer full.
    pub dropped: u64,
}
