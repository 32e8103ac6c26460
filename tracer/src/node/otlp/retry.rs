//! When a request is made again that a receiver did not take.

use std::time::Duration;

/// The first pause before a request is made again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How long before a request is made again that was made so often: twice as long each time, and between half of that and
/// all of it, so that the agents of many machines do not come together.
pub(super) fn pause(tries: u32) -> Duration {
    longest(tries).mul_f64(0.5 + jitter() / 2.0)
}

fn longest(tries: u32) -> Duration {
    FIRST_PAUSE * 2_u32.saturating_pow(tries.saturating_sub(1).min(5))
}

/// Between 0 and 1.
fn jitter() -> f64 {
    use std::hash::BuildHasher as _;
    // Seeded anew each time.
    f64::from(std::hash::RandomState::new().hash_one(0) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        for (tries, seconds) in [(1, 1), (2, 2), (3, 4), (6, 32), (60, 32)] {
            let longest = Duration::from_secs(seconds);
            assert!((longest / 2..=longest).contains(&pause(tries)), "{tries}");
        }
        assert!((0.0..=1.0).contains(&jitter()));
    }
}
