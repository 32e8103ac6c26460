//! No signal in between.
//!
//! A signal that is going to end gotrace makes the kernel fail in the middle of arming or disarming, and what it gives up
//! on stays in the program (see `repair.rs`). So signals wait until it is done. Against kill -9 there is nothing to be
//! done here.

/// Keeps every signal waiting that this thread would get, as long as it lives.
pub(super) struct Undisturbed(libc::sigset_t);

impl Undisturbed {
    pub(super) fn begin() -> Self {
        // SAFETY: the sets consist of integers, for which zero is a value.
        let [mut all, mut before] = unsafe { std::mem::zeroed::<[libc::sigset_t; 2]>() };
        // SAFETY: `all` is a set.
        unsafe { libc::sigfillset(&raw mut all) };
        // SAFETY: both are sets, and the call keeps neither.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before) };
        Self(before)
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // SAFETY: it is the set that was in force before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}
