//! Who asked: the user behind `sudo`.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// So many processes are looked at between gotrace and the shell that called sudo, and so many bytes of its variables.
const MOST_ANCESTORS: u32 = 32;
const MOST_VARIABLES: u64 = 4 << 20;

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

impl InvokingUser {
    /// The environment of the user's own session, which sudo has cleared: that of the nearest process above gotrace
    /// which is the user's. None when there is none.
    #[must_use]
    pub fn environment(&self) -> Option<Vec<(OsString, OsString)>> {
        let mut pid = std::process::id();
        for _ in 0..MOST_ANCESTORS {
            pid = parent_of(pid).filter(|parent| *parent > 1)?;
            let folder = PathBuf::from(format!("/proc/{pid}"));
            // The folder is whose process it is (fs/proc/base.c, `task_dump_owner`).
            if fs::metadata(&folder).is_ok_and(|folder| folder.uid() == self.uid) {
                return variables(&folder).ok();
            }
        }
        None
    }
}

/// Field 4 of /proc/PID/stat, behind a name that may hold anything.
fn parent_of(pid: u32) -> Option<u32> {
    parent_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

pub(super) fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn variables(folder: &Path) -> io::Result<Vec<(OsString, OsString)>> {
    let mut bytes = Vec::new();
    File::open(folder.join("environ"))?.take(MOST_VARIABLES).read_to_end(&mut bytes)?;
    Ok(variables_in(&bytes))
}

/// Each variable's name and value; what has no name is none.
pub(super) fn variables_in(environ: &[u8]) -> Vec<(OsString, OsString)> {
    let pair = |variable: &[u8]| {
        let at = variable.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
        let (name, value) = (variable[..at].to_vec(), variable[at + 1..].to_vec());
        Some((OsString::from_vec(name), OsString::from_vec(value)))
    };
    environ.split(|byte| *byte == 0).filter_map(pair).collect()
}

/// In a forked child: takes the user's groups and ids, in the order in which they can still be taken. By the system
/// calls themselves: the C library would have all of gotrace's threads do the same.
pub(crate) fn become_user(uid: u32, gid: u32, groups: &[libc::gid_t]) -> io::Result<()> {
    let done = |result: libc::c_long| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: `groups` is a slice of that length.
    done(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    // SAFETY: the call has no preconditions.
    done(unsafe { libc::syscall(libc::SYS_setgid, gid) })?;
    // SAFETY: the call has no preconditions. It also bars the user from the memory that a child shares still
    // (kernel/cred.c, `commit_creds`).
    done(unsafe { libc::syscall(libc::SYS_setuid, uid) })
}

fn c_string(text: &OsString) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new(text.as_bytes()).map_err(io::Error::other)
}
