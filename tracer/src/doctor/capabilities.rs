//! What this process may do.

use std::path::Path;

use super::{Check, Verdict};

/// The bits of `CapEff`, from include/uapi/linux/capability.h.
const SYS_ADMIN: u32 = 21;
const NEEDED: [(&str, u32); 2] = [("CAP_PERFMON", 38), ("CAP_BPF", 39)];

pub(super) fn check(root: &Path, command: &str) -> Check {
    const NAME: &str = "capabilities";
    let effective =
        std::fs::read_to_string(root.join("proc/self/status")).ok().and_then(|status| effective(&status));
    let has = |bit: u32| effective.is_some_and(|set| set >> bit & 1 == 1);
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(_, bit)| !has(*bit) && !has(SYS_ADMIN)).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Check::ok(NAME, "CAP_BPF and CAP_PERFMON");
    }
    Check {
        name: NAME,
        verdict: Verdict::Fail,
        found: format!("{} missing", missing.join(" and ")),
        consequence: "the kernel lets nobody else load tracing programs",
        fix: format!("sudo {command}"),
    }
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}
