//! Which control group the kernel means by an id: what `bpf_get_current_cgroup_id` gives, which is the inode of the
//! group's folder in the hierarchy of the second version (fs/kernfs/mount.c).

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::super::process::DELETED;

/// The hierarchy of the second version, asked by ids.
#[derive(Debug)]
pub struct CgroupIds {
    mount: File,
    /// Where that is mounted.
    place: PathBuf,
    known: HashMap<u64, String>,
    /// In the order in which they were asked for.
    order: VecDeque<u64>,
}

/// So many groups are remembered. A node has a few for each container.
const MOST: usize = 16 << 10;

/// `FILEID_KERNFS` (include/linux/exportfs.h); there from Linux 5.5 on.
const KERNFS: i32 = 0xfe;

/// `struct file_handle` (include/linux/fs.h) with kernfs's eight bytes.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: u64,
}

impl CgroupIds {
    /// The hierarchy as the first process of this machine sees it, else as gotrace does: in a container it may be
    /// mounted from the container's own group on.
    ///
    /// # Errors
    /// When it is not mounted, as where there is only the first version, or may not be opened.
    pub fn open() -> io::Result<Self> {
        let mount = Self::mount("1").or_else(|_| Self::mount("self"))?;
        // As the kernel calls it, also when it is none of our own mounts.
        let place = fs::read_link(format!("/proc/self/fd/{}", mount.as_raw_fd()))?;
        Ok(Self { mount, place, known: HashMap::new(), order: VecDeque::new() })
    }

    fn mount(process: &str) -> io::Result<File> {
        let mounts = fs::read_to_string(format!("/proc/{process}/mountinfo"))?;
        let place = mounts.lines().find_map(mounted).ok_or_else(|| {
            let none = "no hierarchy of the second version of control groups is mounted";
            io::Error::new(io::ErrorKind::NotFound, none)
        })?;
        let place = Path::new("/proc").join(process).join("root").join(place.trim_start_matches('/'));
        OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(place)
    }

    /// The path of a group, from the hierarchy's root on; none when there is no such group, or no longer and it was not
    /// asked for before. The same id never comes back for another group.
    ///
    /// # Errors
    /// When the kernel does not let us: it wants `CAP_DAC_READ_SEARCH`.
    pub fn path(&mut self, id: u64) -> io::Result<Option<&str>> {
        if !self.known.contains_key(&id) {
            let Some(path) = self.ask(id)? else { return Ok(None) };
            if self.order.len() == MOST
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(id);
            self.known.insert(id, path);
        }
        Ok(self.known.get(&id).map(String::as_str))
    }

    fn ask(&self, id: u64) -> io::Result<Option<String>> {
        let mut handle = Handle { bytes: 8, kind: KERNFS, id };
        let (mount, flags) = (self.mount.as_raw_fd(), libc::O_PATH | libc::O_CLOEXEC);
        // SAFETY: the handle is as long as it says, and lives through the call.
        let opened = unsafe { libc::open_by_handle_at(mount, (&raw mut handle).cast(), flags) };
        if opened < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::ESTALE | libc::ENOENT) => Ok(None),
                _ => Err(error),
            };
        }
        // SAFETY: the kernel has just given it to us.
        let opened = unsafe { OwnedFd::from_raw_fd(opened) };
        let path = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))?;
        Ok(within(&self.place, &path))
    }
}

/// What the kernel calls a group -> its path from the root of the hierarchy on; none when it has been removed. Of a group
/// that is not below the mount the kernel says that path itself (fs/d_path.c, `__prepend_path`).
pub(in crate::target) fn within(mount: &Path, path: &Path) -> Option<String> {
    if path.as_os_str().as_bytes().ends_with(DELETED) {
        return None;
    }
    let inner = path.strip_prefix(mount).map_or_else(|_| path.to_owned(), |inner| Path::new("/").join(inner));
    Some(inner.to_string_lossy().into_owned())
}

/// Where a line of `/proc/PID/mountinfo` has the second version mounted (proc_pid_mountinfo(5)).
pub(in crate::target) fn mounted(line: &str) -> Option<&str> {
    let (mount, kind) = line.split_once(" - ")?;
    (kind.split(' ').next() == Some("cgroup2")).then(|| mount.split(' ').nth(4))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_versions_mount_is_found() {
        let line = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(mounted(line), Some("/sys/fs/cgroup"));
        assert_eq!(mounted("29 23 0:26 / /sys/fs/cgroup rw - tmpfs cgroup2 rw"), None);
        assert_eq!(mounted("29 - cgroup2 x"), None);
        assert_eq!(mounted(""), None);
    }

    #[test]
    fn groups_are_named_from_the_hierarchys_root_on() {
        let within = |path: &str| within(Path::new("/sys/fs/cgroup"), Path::new(path));
        assert_eq!(within("/sys/fs/cgroup").as_deref(), Some("/"));
        assert_eq!(within("/sys/fs/cgroup/a/b").as_deref(), Some("/a/b"));
        assert_eq!(within("/kubepods/x").as_deref(), Some("/kubepods/x"));
        assert_eq!(within("/sys/fs/cgroup/a (deleted)"), None);
    }
}
