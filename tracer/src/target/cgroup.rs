//! Control groups: for how long one kept its threads from running.

use std::fs;
use std::path::{Path, PathBuf};

use super::process::Process;
use crate::units::Nanos;

/// How long gotrace's own control group, which a command that it starts is in as well, or the one of those around it
/// that did so longest, has held its threads back since it was made (`cpu.stat`;
/// Documentation/admin-guide/cgroup-v2.rst, Documentation/scheduler/sched-bwc.rst). None where no control group counts
/// that.
#[must_use]
pub fn throttled() -> Option<Nanos> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    longest(Path::new(MOUNT), &groups)
}

/// `PATH_MAX`: the kernel names no longer one (kernel/cgroup/cgroup.c, `proc_cgroup_show`).
const LONGEST_PATH: usize = 4096;

const MOUNT: &str = "/sys/fs/cgroup";

fn longest(mount: &Path, groups: &str) -> Option<Nanos> {
    let around = groups.lines().flat_map(|line| in_hierarchy(mount, line));
    around.filter_map(|group| of_group(&fs::read_to_string(group.join("cpu.stat")).ok()?)).max()
}

/// The group that a line of `/proc/PID/cgroup` names, where the scheduler's hierarchy is meant, and those around it.
pub(super) fn in_hierarchy(mount: &Path, line: &str) -> Vec<PathBuf> {
    let named = || {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.strip_prefix('/')?);
        if path.len() > LONGEST_PATH {
            return None;
        }
        // Version 2 has one hierarchy for all controllers; of version 1, that of the scheduler's is meant.
        let mount = match controllers {
            "" => mount.to_owned(),
            _ if controllers.split(',').any(|controller| controller == "cpu") => mount.join("cpu"),
            _ => return None,
        };
        Some((mount.join(path), mount))
    };
    let Some((own, mount)) = named() else { return Vec::new() };
    own.ancestors().take_while(|group| group.starts_with(&mount)).map(Path::to_owned).collect()
}

/// `throttled_usec` of version 2, or `throttled_time`, in nanoseconds, of version 1.
pub(super) fn of_group(stat: &str) -> Option<Nanos> {
    let of = |name: &str| {
        let count = stat.lines().find_map(|line| line.strip_prefix(name))?;
        count.trim().parse::<u64>().ok()
    };
    of("throttled_usec ")
        .map(|micros| micros.saturating_mul(1000))
        .or_else(|| of("throttled_time "))
        .map(Nanos)
}

impl Process {
    /// The same of its own control group.
    #[must_use]
    pub fn throttled(&self) -> Option<Nanos> {
        longest(Path::new(MOUNT), &fs::read_to_string(self.path("cgroup")).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_group_counts() {
        let mount = tempfile::tempdir().unwrap();
        let inner = mount.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("cpu.stat"), "usage_usec 5\nthrottled_usec 7\n").unwrap();
        fs::write(mount.path().join("a/cpu.stat"), "throttled_usec 20\n").unwrap();
        assert_eq!(longest(mount.path(), "0::/a/b\n"), Some(Nanos(20_000)));
        assert_eq!(longest(mount.path(), "0::/none\n"), None);
        assert_eq!(longest(mount.path(), "1:cpu:/a/b\n"), None);
        let first_version = mount.path().join("cpu/c");
        fs::create_dir_all(&first_version).unwrap();
        fs::write(first_version.join("cpu.stat"), "nr_throttled 2\nthrottled_time 5\n").unwrap();
        assert_eq!(
            longest(mount.path(), "4:cpuset:/c\n3:cpu,cpuacct:/c\n1:name=cpu:/c\n0::/none\n"),
            Some(Nanos(5))
        );
    }
}
