//! CPU limits: for how long a control group kept its threads from running.

use std::fs;
use std::path::{Path, PathBuf};

use crate::units::Nanos;

/// How long gotrace's own control group, which a command that it starts is in as well, or the one of those around it
/// that did so longest, has held its threads back since it was made (`throttled_usec` in `cpu.stat`;
/// Documentation/admin-guide/cgroup-v2.rst). None without control groups of version 2.
#[must_use]
pub fn throttled() -> Option<Nanos> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    longest(Path::new("/sys/fs/cgroup"), &groups)
}

fn longest(mount: &Path, groups: &str) -> Option<Nanos> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own: PathBuf = mount.join(path);
    own.ancestors()
        .take_while(|group| group.starts_with(mount))
        .filter_map(|group| of_group(&fs::read_to_string(group.join("cpu.stat")).ok()?))
        .max()
}

fn of_group(stat: &str) -> Option<Nanos> {
    let microseconds = stat.lines().find_map(|line| line.strip_prefix("throttled_usec "))?;
    Some(Nanos(microseconds.trim().parse::<u64>().ok()?.saturating_mul(1000)))
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
    }
}
