//! A process by a descriptor: it stays that process's when it is gone, whoever has its number then.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// Of the process that has that number now. It becomes readable when the process ends.
///
/// # Errors
/// When there is none.
pub fn pidfd_of(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call has no preconditions.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match i32::try_from(fd) {
        // SAFETY: the kernel made this descriptor for the caller, close-on-exec.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
