//! Where processes are: which container and pod.

use crate::target::identity::{CgroupIds, Identity, Pod, Pods};
use crate::target::process::Process;
use crate::units::Nanos;

/// Finds that out.
#[derive(Debug)]
pub(super) struct Places {
    /// None where there is only the first version of control groups.
    groups: Option<CgroupIds>,
    /// Whether what is in the root there may have a group of its own in a hierarchy of the first version.
    has_first: bool,
    pods: Pods,
}

impl Places {
    pub(super) fn open() -> Self {
        let groups = CgroupIds::open().inspect_err(|error| {
            tracing::warn!("control groups are only known of processes that run: {error}");
        });
        // One line for each hierarchy, the second version's the last.
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self { groups: groups.ok(), has_first: own.lines().count() > 1, pods: Pods::default() }
    }

    /// Remembers the group's path, as long as there is one.
    pub(super) fn note(&mut self, cgroup: u64) {
        let _ = self.path(cgroup);
    }

    fn path(&mut self, cgroup: u64) -> Option<&str> {
        match self.groups.as_mut()?.path(cgroup) {
            Ok(path) => path,
            Err(error) => {
                tracing::debug!("control group {cgroup}: {error}");
                None
            }
        }
    }

    /// Of a process in that group, which had its number at that time. None when the group and the process are gone.
    pub(super) fn of(&mut self, cgroup: u64, pid: u32, seen: Nanos) -> Option<Identity> {
        let has_first = self.has_first;
        if let Some(path) = self.path(cgroup).filter(|path| !has_first || *path != "/") {
            return Some(Identity::of_cgroup(path));
        }
        let process = Process::of_pid(pid).ok()?;
        (process.stat().ok()?.start <= seen).then(|| process.identity())
    }

    /// The pod that this is of.
    pub(super) fn pod(&mut self, identity: &Identity) -> Option<Pod> {
        self.pods.of(identity.pod_uid.as_deref()?).cloned()
    }
}
