//! Who asked: the user behind `sudo`.

use std::ffi::{CString, OsString};
use std::io;
use std::path::PathBuf;

/// The user who ran `sudo gotrace`, whose command it is and whose files the reports become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvokingUser {
    /// The user's id.
    pub uid: u32,
    /// The user's primary group.
    pub gid: u32,
    /// The user's name.
    pub name: OsString,
}

impl InvokingUser {
    /// The user whom `sudo` names; none when gotrace does not run as root under sudo.
    #[must_use]
    pub fn of_sudo() -> Option<Self> {
        // SAFETY: the call has no preconditions and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return None;
        }
        let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
        let (uid, gid) = (number("SUDO_UID")?, number("SUDO_GID")?);
        (uid != 0).then_some(Self { uid, gid, name: std::env::var_os("SUDO_USER")? })
    }

    /// Every group that the user is a member of.
    ///
    /// # Errors
    /// When the user's name holds a zero byte or the group database gives no answer.
    pub fn groups(&self) -> io::Result<Vec<libc::gid_t>> {
        let name = c_string(&self.name)?;
        let mut groups: Vec<libc::gid_t> = vec![0; 64];
        loop {
            let mut count = libc::c_int::try_from(groups.len()).map_err(io::Error::other)?;
            // SAFETY: `groups` holds `count` entries; the call changes `count` to what it has or needs.
            let found =
                unsafe { libc::getgrouplist(name.as_ptr(), self.gid, groups.as_mut_ptr(), &raw mut count) };
            let needed = usize::try_from(count).map_err(io::Error::other)?;
            if found >= 0 {
                groups.truncate(needed);
                return Ok(groups);
            }
            // No system has more groups than this (NGROUPS_MAX).
            if needed <= groups.len() || needed > 65_536 {
                return Err(io::Error::other("the group database gives no answer"));
            }
            groups.resize(needed, 0);
        }
    }

    /// The user's home directory, as the password database has it.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        let mut buffer = vec![0_u8; 16 << 10];
        // SAFETY: the structure consists of addresses and integers, for which zero is a value.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut result = std::ptr::null_mut();
        // SAFETY: the strings of `entry` land in `buffer`, which outlives their use below.
        let code = unsafe {
            let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
            libc::getpwuid_r(self.uid, &raw mut entry, start, length, &raw mut result)
        };
        if code != 0 || result.is_null() || entry.pw_dir.is_null() {
            return None;
        }
        // SAFETY: the call succeeded, so the field is a zero-terminated string in `buffer`.
        let home = unsafe { std::ffi::CStr::from_ptr(entry.pw_dir) };
        Some(PathBuf::from(OsString::from(home.to_str().ok()?)))
    }
}

fn c_string(text: &OsString) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new(text.as_bytes()).map_err(io::Error::other)
}
