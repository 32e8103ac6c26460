//! What this process may do.

use std::fs;
use std::path::Path;

use super::{Check, Verdict, kernel};
use crate::target::capabilities::{Capability, Rights, listed};

const NAME: &str = "capabilities";

/// From here on the kernel has `uprobe_multi` links.
const LINKS: (u32, u32) = (6, 6);

/// One check for each that is missing, by its name, or one that all are there.
pub(super) fn checks(root: &Path, command: &str) -> Vec<Check> {
    let read = |path| fs::read_to_string(root.join(path)).unwrap_or_default();
    let rights = Rights::of_status(&read("proc/self/status")).unwrap_or(Rights::NONE);
    if is_foreign(&read("proc/self/uid_map")) {
        return vec![Check {
            name: NAME,
            verdict: Verdict::Fail,
            found: "those of a user namespace".to_owned(),
            consequence: "the kernel lets only the machine's own root load tracing programs",
            fix: "run it outside, or in a container without a user namespace (hostUsers: true in Kubernetes)"
                .to_owned(),
        }];
    }
    let needed = needed(root);
    let missing = rights.missing(&needed);
    if missing.is_empty() {
        return vec![Check::ok(NAME, listed(&needed))];
    }
    let row = |capability: &Capability| {
        let (verdict, consequence) = consequence(*capability);
        let fix = rights.remedy(&[*capability], command);
        Check { name: capability.full_name(), verdict, found: "missing".to_owned(), consequence, fix }
    };
    missing.iter().map(row).collect()
}

/// What everything works with, on the kernel that runs here.
pub(super) fn needed(root: &Path) -> Vec<Capability> {
    let mut needed = Capability::NEEDED.to_vec();
    if kernel::version(root).is_some_and(|version| version < LINKS) {
        needed.push(Capability::SysAdmin);
    }
    needed
}

/// Whether the map is another one than the machine's own, where everybody is who they are.
fn is_foreign(uid_map: &str) -> bool {
    !uid_map.is_empty() && !uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

const fn consequence(missing: Capability) -> (Verdict, &'static str) {
    match missing {
        Capability::Bpf => (Verdict::Fail, "the kernel lets nobody else load programs and make maps"),
        Capability::Perfmon => (Verdict::Fail, "the kernel lets nobody else load tracing programs"),
        Capability::SysPtrace => (
            Verdict::Warn,
            "processes of other users, and those that may do more than gotrace, cannot be looked into: attach, list",
        ),
        Capability::DacReadSearch => (
            Verdict::Warn,
            "the memory of other users' processes, and binaries that not everybody may read, cannot be read: attach",
        ),
        Capability::SysAdmin => (
            Verdict::Warn,
            "before 6.6 the kernel takes probes on instructions one at a time, and from 6.1.146 on only with it: run, \
             watch, attach without --no-gc",
        ),
    }
}
