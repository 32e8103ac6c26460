//! The ring buffer between the kernel side and here: its size, and how often it is emptied.

use std::time::Duration;

/// How often the ring buffer is drained. At the default size it takes 25 000 inits in between.
pub(super) const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// The size of the ring as the option has it, in KiB.
pub(super) fn ring_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(kib) if kib.is_power_of_two() && (4..=1 << 20).contains(&kib) => Ok(kib),
        _ => Err("a power of two from 4 to 1048576 is needed".to_owned()),
    }
}
