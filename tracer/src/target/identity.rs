//! Whose a process is: the container and the pod that the name of its control group tells of.
//!
//! Container runtimes and the kubelet write their ids into those names; docs/cgroups.md has each form with its source.
//! Nobody else is asked. A name is what who made the group chose: a process that may make groups (root in a privileged
//! container, say) can give itself another's, so this tells processes apart, and proves nothing.

pub(super) mod cgroup_ids;
pub(super) mod pods;

use std::fmt;
use std::fs::File;
use std::io::Read as _;

use schemars::JsonSchema;
use serde::Serialize;

pub use self::cgroup_ids::CgroupIds;
pub use self::pods::{Pod, Pods};
use super::process::Process;

/// What made a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// containerd, for Kubernetes or by nerdctl.
    Containerd,
    /// CRI-O.
    #[serde(rename = "cri-o")]
    CriO,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl Runtime {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the name of a process's control group tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The id of the innermost container that it is in, 64 hexadecimal digits; none when it is in none, or its runtime
    /// names groups otherwise.
    pub container: Option<String>,
    /// What made that container; none when the group's name does not tell, as where the kubelet names groups itself.
    pub runtime: Option<Runtime>,
    /// The UID of the innermost pod that it is in, as the API has it: with hyphens, but for static pods.
    pub pod_uid: Option<String>,
    /// The path of the control group, from the root of gotrace's own cgroup namespace on; empty when the kernel does not
    /// say.
    pub cgroup: String,
}

/// `PATH_MAX`: the kernel names no longer path (kernel/cgroup/cgroup.c, `proc_cgroup_show`).
const LONGEST_PATH: usize = 4096;

/// One line for each hierarchy. The first version has at most 32 (`CGROUP_SUBSYS_COUNT`), and those without a controller.
const MOST_LINES: usize = 64;

impl Identity {
    /// By the text of `/proc/PID/cgroup`. With several hierarchies, of the first that tells of a container, else of a
    /// pod; the second version's comes first, and then systemd's.
    #[must_use]
    pub fn of_cgroups(proc_cgroup_text: &str) -> Self {
        let mut paths: Vec<(u8, &str)> =
            proc_cgroup_text.lines().take(MOST_LINES).filter_map(hierarchy).collect();
        paths.sort_by_key(|(rank, _)| *rank);
        let all = || paths.iter().map(|(_, path)| Self::of_cgroup(path));
        let of_container = all().find(|identity| identity.container.is_some());
        of_container
            .or_else(|| all().find(|identity| identity.pod_uid.is_some()))
            .or_else(|| all().next())
            .unwrap_or_default()
    }

    /// By the path of one control group.
    #[must_use]
    pub fn of_cgroup(path: &str) -> Self {
        if path.len() > LONGEST_PATH {
            return Self::default();
        }
        let mut identity = Self { cgroup: path.to_owned(), ..Self::default() };
        // What the kernel puts behind a group that has been removed, while a process that has ended is in it.
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let mut parts = path.rsplit('/').peekable();
        while let Some(part) = parts.next() {
            if identity.container.is_none()
                && let Some((id, runtime)) = container(part, parts.peek().copied())
            {
                identity.container = Some(id.to_owned());
                identity.runtime = runtime;
            }
            // A container that is further out has the pod in it, and not the process.
            identity.pod_uid = pod(part);
            if identity.pod_uid.is_some() {
                break;
            }
        }
        identity
    }
}

impl Process {
    /// Whose it is. Nothing is known of one that has ended.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let mut text = Vec::new();
        let limit = (MOST_LINES * (LONGEST_PATH + 256)) as u64;
        let read = File::open(self.path("cgroup")).and_then(|file| file.take(limit).read_to_end(&mut text));
        read.map(|_| Identity::of_cgroups(&String::from_utf8_lossy(&text))).unwrap_or_default()
    }
}

/// The path in a line of `/proc/PID/cgroup`, and how much to believe it: in the hierarchies of single controllers
/// not everything has a group.
fn hierarchy(line: &str) -> Option<(u8, &str)> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let rank = match controllers {
        "" => 0,
        "name=systemd" => 1,
        _ => 2,
    };
    path.starts_with('/').then_some((rank, path))
}

/// The container that a group is of, by its name and that of the group around it.
fn container<'a>(name: &'a str, around: Option<&str>) -> Option<(&'a str, Option<Runtime>)> {
    // `kubepods-pod….slice:cri-containerd:ID`, when the runtime does not ask systemd and the kubelet does.
    if let Some((rest, id)) = name.rsplit_once(':') {
        let prefix = rest.rsplit_once(':')?.1;
        return is_id(id).then(|| (id, by_prefix(prefix)));
    }
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let Some((prefix, id)) = name.rsplit_once('-') else {
        return is_id(name).then(|| (name, around.and_then(by_parent)));
    };
    // conmon watches a container from outside of it.
    let is_monitor = prefix.rsplit('-').next() == Some("conmon");
    (is_id(id) && !is_monitor).then(|| (id, by_prefix(prefix)))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_lower_hex)
}

const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn by_prefix(prefix: &str) -> Option<Runtime> {
    match prefix {
        "cri-containerd" | "nerdctl" => Some(Runtime::Containerd),
        "crio" => Some(Runtime::CriO),
        "docker" => Some(Runtime::Docker),
        "libpod" | "libpod-payload" => Some(Runtime::Podman),
        _ => None,
    }
}

/// Where the group's own name is the id alone.
fn by_parent(name: &str) -> Option<Runtime> {
    match name {
        "docker" => Some(Runtime::Docker),
        // The namespace of containerd's that Kubernetes uses.
        "k8s.io" => Some(Runtime::Containerd),
        _ => None,
    }
}

/// The UID of the pod that a group is of: `podUID` of the cgroupfs driver, `kubepods-…-podUID.slice` of systemd's, in
/// which hyphens are underscores.
fn pod(name: &str) -> Option<String> {
    let name = name.split(':').next().unwrap_or(name);
    if let Some(uid) = name.strip_prefix("pod") {
        return is_uid(uid).then(|| uid.to_owned());
    }
    let (parents, uid) = name.strip_suffix(".slice")?.rsplit_once("-pod")?;
    let uid = uid.replace('_', "-");
    // Below the kubelet's own group, which `--cgroup-root` may put into others.
    let is_kubelets = parents.split('-').any(|parent| parent == "kubepods");
    (is_kubelets && is_uid(&uid)).then_some(uid)
}

/// A UUID, or the 32 digits that the kubelet gives to static pods (pkg/kubelet/config/common.go, `applyDefaults`).
fn is_uid(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes.len() {
        32 => bytes.iter().copied().all(is_lower_hex),
        36 => bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => is_lower_hex(*byte),
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
