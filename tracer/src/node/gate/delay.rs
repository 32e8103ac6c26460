//! For how long this thread could have run and had no processor.

use std::fs;
use std::time::Duration;

/// What the kernel has counted of it.
#[derive(Debug, Default)]
pub(super) struct Delay(Duration);

impl Delay {
    /// How much that is since it was asked last; nothing where the kernel does not count it.
    pub(super) fn since_last(&mut self) -> Duration {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let now = run_delay(&text).unwrap_or(self.0);
        now.saturating_sub(std::mem::replace(&mut self.0, now))
    }
}

/// `sched_info.run_delay`, the second of three (fs/proc/base.c, `proc_pid_schedstat`).
fn run_delay(text: &str) -> Option<Duration> {
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_counts() {
        assert_eq!(run_delay("123 456 7\n"), Some(Duration::from_nanos(456)));
        assert_eq!(run_delay(""), None);
        assert_eq!(run_delay("1 -2 3"), None);
        let mut delay = Delay::default();
        let _ = delay.since_last();
        assert!(delay.since_last() < Duration::from_secs(60));
    }
}
