//! The kinds of numbers that must not be mixed up: addresses and times.
//!
//! A Go binary has three address spaces: bytes in the file, addresses as the ELF file states them, and
//! addresses in a running process (shifted by the load bias when the binary is position independent).

use std::time::{SystemTime, UNIX_EPOCH};
use std::{fmt, iter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A byte's place in a file. What a uprobe is attached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FileOffset(pub u64);

/// An address as the ELF file states it, before any load bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct VirtAddr(pub u64);

/// An address in a running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuntimeAddr(pub u64);

/// Nanoseconds: a duration, or a time on the kernel's boot clock (`CLOCK_BOOTTIME`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The time from `earlier` to `self`; zero when `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// The time `duration` later. What is read may be from anywhere, so sums end at the largest there is.
    #[must_use]
    pub fn plus(self, duration: Self) -> Self {
        Self(self.0.saturating_add(duration.0))
    }

    /// With three or four digits and a unit.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
    pub fn for_people(self) -> String {
        let nanos = self.0 as f64;
        match self.0 {
            0..1_000 => format!("{} ns", self.0),
            1_000..1_000_000 => format!("{:.1} µs", nanos / 1e3),
            1_000_000..1_000_000_000 => format!("{:.2} ms", nanos / 1e6),
            _ => format!("{:.3} s", nanos / 1e9),
        }
    }

    /// As milliseconds, for people.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// Adds numbers up. What is read may be from anywhere, so sums end at the largest there is.
pub fn saturating_sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

impl iter::Sum for Nanos {
    fn sum<I: Iterator<Item = Self>>(times: I) -> Self {
        times.fold(Self(0), Self::plus)
    }
}

impl fmt::LowerHex for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl fmt::LowerHex for FileOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

/// Now, on the boot clock: the one that the kernel side stamps its records with.
#[must_use]
pub fn boot_clock() -> Nanos {
    // The clock exists since Linux 2.6.39, so reading it cannot fail.
    clock_time(libc::CLOCK_BOOTTIME).unwrap_or_default()
}

/// The wall clock at a moment of the boot clock, in nanoseconds since 1970, if nobody has set it since.
#[must_use]
pub fn wall_clock_at(moment: Nanos) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(0).saturating_sub(boot_clock().since(moment).0)
}

/// Now, on the clock that Go's runtime takes its times from (`runtime.nanotime`): it stands still in suspend.
#[must_use]
pub fn monotonic_clock() -> Nanos {
    clock_time(libc::CLOCK_MONOTONIC).unwrap_or_default()
}

/// What a clock shows; none when there is no such clock.
#[must_use]
pub fn clock_time(clock: libc::clockid_t) -> Option<Nanos> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable.
    let read = unsafe { libc::clock_gettime(clock, &raw mut now) } == 0;
    read.then(|| Nanos(now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::Nanos;

    #[test]
    fn times_are_readable_at_every_size() {
        assert_eq!(Nanos(999).for_people(), "999 ns");
        assert_eq!(Nanos(12_345).for_people(), "12.3 µs");
        assert_eq!(Nanos(8_420_000).for_people(), "8.42 ms");
        assert_eq!(Nanos(11_000_000_000).for_people(), "11.000 s");
    }
}
