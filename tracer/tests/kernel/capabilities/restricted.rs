//! A command that has the named capabilities and no others.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// `_LINUX_CAPABILITY_VERSION_3` (include/uapi/linux/capability.h).
const VERSION: u32 = 0x2008_0522;

/// Makes the command run as `user` with exactly those capabilities, which it can never get more than.
pub(super) fn restrict(command: &mut Command, user: u32, capabilities: &[u32]) {
    let set = capabilities.iter().fold(0_u64, |set, bit| set | 1 << bit);
    // SAFETY: between fork and execve the closure makes system calls only.
    unsafe { command.pre_exec(move || become_restricted(user, set)) };
}

fn become_restricted(user: u32, set: u64) -> io::Result<()> {
    let bits = || (0..64_u32).filter(move |bit| set >> bit & 1 == 1);
    for bit in (0..64_u32).filter(|bit| set >> bit & 1 == 0) {
        // The last ones are none; dropping them fails.
        drop(prctl(libc::PR_CAPBSET_DROP, bit.into(), 0));
    }
    prctl(libc::PR_SET_KEEPCAPS, 1, 0)?;
    // As raw system calls these are this thread's own.
    call(libc::SYS_setgroups, [0, 0, 0])?;
    call(libc::SYS_setresgid, [user.into(); 3])?;
    call(libc::SYS_setresuid, [user.into(); 3])?;
    let header = [VERSION, 0];
    let [low, high] = [set as u32, (set >> 32) as u32];
    let data = [low, low, low, high, high, high];
    call(libc::SYS_capset, [header.as_ptr() as u64, data.as_ptr() as u64, 0])?;
    for bit in bits().filter(|_| user != 0) {
        prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, bit.into())?;
    }
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
}

fn prctl(option: libc::c_int, first: u64, second: u64) -> io::Result<()> {
    // SAFETY: none of the options that are used here takes an address.
    let result = unsafe { libc::prctl(option, first, second, 0_u64, 0_u64) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn call(number: libc::c_long, [first, second, third]: [u64; 3]) -> io::Result<()> {
    // SAFETY: the addresses among the arguments are of values that live until it returns.
    let result = unsafe { libc::syscall(number, first, second, third) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
