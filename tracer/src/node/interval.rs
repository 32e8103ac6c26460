//! How often metrics may be sent.

use std::ops::RangeInclusive;
use std::time::Duration;

/// From a second, which is how often the agent asks for anything, to a day.
pub const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
