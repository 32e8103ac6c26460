//! The wall clock beside the boot clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::units::{Nanos, boot_clock};

/// The wall clock at a moment of the boot clock, in nanoseconds since 1970, if nobody has set it since.
pub(super) fn wall_clock_at(moment: Nanos) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(0).saturating_sub(boot_clock().since(moment).0)
}
