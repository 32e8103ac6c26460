//! How much work something was: processor time, which does not depend on what else the machine does.

use std::time::Duration;

/// The processor time of this thread since a moment.
pub(crate) struct Effort(Duration);

impl Effort {
    pub(crate) fn begin() -> Self {
        Self(spent())
    }

    pub(crate) fn spent(&self) -> Duration {
        spent().saturating_sub(self.0)
    }
}

fn spent() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("less than a second"))
}
