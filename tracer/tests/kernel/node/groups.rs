//! Containers as far as the kernel and the kubelet's folders show them: control groups with their names.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::enter;

/// Where the kubelet has a folder for each pod.
const LOGS: &str = "/var/log/pods";

/// The hierarchy of the second version, if it can be written to.
pub(super) fn hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let of = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    };
    let root = mounts.lines().find_map(of)?;
    let probe = root.join(format!("gotrace-test-{}", std::process::id()));
    fs::create_dir(&probe).ok()?;
    fs::remove_dir(&probe).ok()?;
    Some(root)
}

/// A container of a pod.
pub(super) struct Container {
    root: PathBuf,
    pub(super) id: String,
    pub(super) namespace: String,
    pub(super) pod: String,
    group: PathBuf,
    logs: PathBuf,
}

impl Container {
    /// Makes its groups and its pod's folder.
    pub(super) fn make(root: &Path, index: usize) -> Self {
        let own = std::process::id();
        let id = format!("{own:032x}{index:032x}");
        let uid = format!("{own:08x}-0000-0000-0000-{index:012x}");
        let (namespace, pod) = (format!("gotrace-test-{own}"), format!("pod-{index}"));
        let group = root
            .join("gotrace-test-kubepods.slice")
            .join(format!("gotrace-test-kubepods-pod{}.slice", uid.replace('-', "_")))
            .join(format!("cri-containerd-{id}.scope"));
        fs::create_dir_all(&group).expect("its groups");
        let logs = Path::new(LOGS).join(format!("{namespace}_{pod}_{uid}"));
        fs::create_dir_all(&logs).expect("its pod's folder");
        Self { root: root.to_owned(), id, namespace, pod, group, logs }
    }

    /// The command's process will be in it.
    pub(super) fn enter(&self, command: &mut Command) {
        let procs = File::options().write(true).open(self.group.join("cgroup.procs")).expect("its processes");
        enter(command, procs);
    }

    /// Removes its groups, when nobody is in them.
    pub(super) fn remove(&self) {
        for group in self.group.ancestors().take_while(|group| *group != self.root) {
            // Others may still be in the outer one.
            let _ = fs::remove_dir(group);
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.remove();
        let _ = fs::remove_dir(&self.logs);
        // Where there was none before.
        let _ = fs::remove_dir(LOGS);
    }
}
