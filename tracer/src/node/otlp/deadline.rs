//! When whoever sends is to have ended.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Set once, at the agent's end, before those who send are told that it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadline(Arc<OnceLock<Instant>>);

impl Deadline {
    /// So long from now.
    pub(super) fn set(&self, patience: Duration) {
        let _ = self.0.set(Instant::now() + patience);
    }

    /// Whether it is set.
    pub(super) fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    /// How long until then; nothing when it is not set.
    pub(super) fn left(&self) -> Duration {
        self.0.get().map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()))
    }
}
