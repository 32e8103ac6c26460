//! Whose a process is, in control groups that are named as the kubelet's.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gotrace::target::identity::CgroupIds;

use crate::support::{fixtures_of, gotrace, parse};

/// Groups of the test's own, which are gone with it.
struct Groups {
    /// The mount, and each group below it, the outermost first.
    made: Vec<PathBuf>,
}

impl Groups {
    fn make(below: &str) -> Self {
        let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = fields.into_iter().find(|fields| fields[2] == "cgroup2").expect("cgroup2 is mounted")[1];
        let mut made = Self { made: vec![PathBuf::from(mount)] };
        for name in below.split('/') {
            let group = made.innermost().join(name);
            fs::create_dir(&group).expect("a group");
            made.made.push(group);
        }
        made
    }

    fn innermost(&self) -> &Path {
        self.made.last().expect("the mount at least")
    }

    /// As /proc has it.
    fn path(&self) -> String {
        let inner = self.innermost().strip_prefix(&self.made[0]).expect("below the mount");
        format!("/{}", inner.display())
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in self.made.drain(1..).rev() {
            drop(fs::remove_dir(group));
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_group_is_known_by_the_kernels_id() {
    let groups = Groups::make(&format!("gotrace-test-ids-{}/inner", std::process::id()));
    let id = |path: &Path| fs::metadata(path).expect("a group").ino();
    let (root, inner) = (id(&groups.made[0]), id(groups.innermost()));
    let path = groups.path();
    let mut ids = CgroupIds::open().expect("the hierarchy");
    assert_eq!(ids.path(root).expect("allowed"), Some("/"));
    assert_eq!(ids.path(inner).expect("allowed"), Some(path.as_str()));
    drop(groups);
    // What is known stays known, and what is gone is not found.
    assert_eq!(ids.path(inner).expect("allowed"), Some(path.as_str()));
    assert_eq!(CgroupIds::open().expect("the hierarchy").path(inner).expect("allowed"), None);
    for id in [0, u64::MAX, inner + (1 << 32)] {
        assert_eq!(ids.path(id).expect("allowed"), None, "{id}");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_process_in_a_pods_group_is_listed_as_the_pods() {
    let (uid, container) = ("21f5c3de-7b4c-4a8f-9d2e-0a1b2c3d4e5f", "0123456789abcdef".repeat(4));
    let groups = Groups::make(&format!(
        "gotrace-test-list-{}/kubepods-burstable-pod{}.slice/cri-containerd-{container}.scope",
        std::process::id(),
        uid.replace('-', "_")
    ));
    let fixture = fixtures_of("stuckininit").remove(0);
    let mut child =
        Command::new(&fixture.path).env("STUCK_IN", "sleep").stdin(Stdio::null()).spawn().expect("it starts");
    fs::write(groups.innermost().join("cgroup.procs"), child.id().to_string()).expect("it can be moved");
    let json = gotrace().args(["list", "--json"]).output().expect("gotrace runs");
    let text = gotrace().arg("list").output().expect("gotrace runs");
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
    let rows = parse(std::str::from_utf8(&json.stdout).expect("text"));
    let row = rows.iter().find(|row| row["pid"] == child.id()).expect("it is listed");
    assert_eq!(row["container"], container, "{row}");
    assert_eq!(row["container_runtime"], "containerd", "{row}");
    assert_eq!(row["pod_uid"], uid, "{row}");
    assert_eq!(row["cgroup"], groups.path(), "{row}");
    assert!(row["pod_name"].is_null() && row["pod_namespace"].is_null(), "{row}");
    let text = String::from_utf8(text.stdout).expect("text");
    let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{} ", child.id())));
    assert!(line.is_some_and(|line| line.contains("  pod 21f5c3de-7b4  ")), "{text}");
}
