//! Which file systems programs may come from.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::atomic::Ordering;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::End;
use super::figures::Figures;
use super::group::Group;

/// Where the machine's own mounts are told, and where they begin.
const TABLE: &str = "/proc/1/mountinfo";
const ROOT: &str = "/proc/1/root";

/// Those whose files are on this machine: one of another's, or of a program's own making, may keep who opens it waiting.
const LOCAL: [&str; 14] = [
    "bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "rootfs", "squashfs",
    "tmpfs", "xfs", "zfs",
];

/// A file system, by its device, and where it is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    path: PathBuf,
}

/// Has the group asked of all of them, and of each that comes, until the end is near. It opens paths, and so may get stuck.
pub(super) fn keep_marking(group: &Weak<Group>, end: &End, figures: &Figures) {
    let mut marked: HashSet<String> = HashSet::new();
    let table = match File::open(TABLE) {
        Ok(table) => table,
        Err(error) => {
            tracing::error!("{TABLE}: {error}: no execve is held (--gate-new)");
            return figures.close();
        }
    };
    while !end.is_near.load(Ordering::SeqCst) {
        let text = fs::read(TABLE).unwrap_or_default();
        let mounts: Vec<Mount> = String::from_utf8_lossy(&text).lines().filter_map(local).collect();
        // The number of one that is gone may be another's next time.
        marked.retain(|device| mounts.iter().any(|mount| mount.device == *device));
        let Some(group) = group.upgrade() else { return };
        for mount in mounts {
            if !marked.contains(&mount.device) && mark(&group, &mount.path) {
                marked.insert(mount.device);
            }
        }
        drop(group);
        // Mounts that change are an exception (proc_pid_mountinfo(5)).
        let mut to = [
            PollFd::new(table.as_fd(), PollFlags::POLLPRI),
            PollFd::new(end.bell.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll(&mut to, PollTimeout::NONE);
    }
}

fn mark(group: &Group, path: &Path) -> bool {
    let within = path.strip_prefix("/").unwrap_or(path);
    let path = Path::new(ROOT).join(within);
    group.watch(&path).inspect_err(|error| tracing::debug!("{}: {error}", path.display())).is_ok()
}

/// A line of the table, when it is of a file system of this machine.
fn local(line: &str) -> Option<Mount> {
    let (fields, rest) = line.split_once(" - ")?;
    let kind = rest.split(' ').next()?;
    if !LOCAL.contains(&kind) {
        return None;
    }
    let mut fields = fields.split(' ').skip(2);
    let (device, path) = (fields.next()?, fields.nth(1)?);
    Some(Mount { device: device.to_owned(), path: PathBuf::from(std::ffi::OsString::from_vec(plain(path))) })
}

/// A path as it is: spaces, tabs, line ends and backslashes are written in octal (fs/proc_namespace.c, `mangle`).
fn plain(path: &str) -> Vec<u8> {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let octal = bytes.get(at + 1..at + 4).filter(|_| byte == b'\\');
        let octal = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        out.push(octal.unwrap_or(byte));
        at += if octal.is_some() { 4 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_this_machine_is_asked_of() {
        let line =
            |kind: &str| format!(r"36 35 98:0 /mnt1 /a\040b\134 rw,noatime master:1 - {kind} /dev/root rw");
        let mount = Mount { device: "98:0".to_owned(), path: r"/a b\".into() };
        for kind in ["ext4", "overlay", "xfs"] {
            assert_eq!(local(&line(kind)).as_ref(), Some(&mount), "{kind}");
        }
        for kind in ["nfs4", "fuse.sshfs", "fuseblk", "proc", "autofs", "9p"] {
            assert_eq!(local(&line(kind)), None, "{kind}");
        }
        for line in ["", " - ", "1 2 - ext4", "1 2 3:4 - ext4 x"] {
            assert_eq!(local(line), None, "{line}");
        }
    }

    #[test]
    fn a_path_that_ends_in_the_middle_of_an_escape_stays_as_it_is() {
        assert_eq!(plain(r"/a\04"), br"/a\04");
        assert_eq!(plain(r"/\999\"), br"/\999\");
        assert_eq!(plain("/ä"), "/ä".as_bytes());
    }
}
