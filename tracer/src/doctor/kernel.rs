//! What this kernel can do.

use std::fs;
use std::path::Path;

use super::{Check, Verdict};

/// The scheduler's tracepoint tells what it does in its present form from here on ("sched/tracing: Append
/// prev_state to tp args instead", which 5.18's stable releases have too). The oldest one tested is 6.1.
const OLDEST: (u32, u32) = (5, 19);

pub(super) fn release(root: &Path) -> Check {
    const NAME: &str = "kernel";
    let release = release_of(root);
    match version(root) {
        Some(version) if version < OLDEST => Check {
            name: NAME,
            verdict: Verdict::Fail,
            found: format!("Linux {release}"),
            consequence: "its scheduler's tracepoint cannot be read",
            fix: format!("Linux {}.{} or later", OLDEST.0, OLDEST.1),
        },
        _ => Check::ok(NAME, format!("Linux {release}")),
    }
}

/// Its first two numbers, when it has them.
pub(super) fn version(root: &Path) -> Option<(u32, u32)> {
    let release = release_of(root);
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

fn release_of(root: &Path) -> String {
    fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default().trim().to_owned()
}

pub(super) fn uprobes(root: &Path) -> Check {
    const NAME: &str = "uprobes";
    if root.join("sys/bus/event_source/devices/uprobe/type").exists() {
        return Check::ok(NAME, "available");
    }
    Check {
        name: NAME,
        verdict: Verdict::Fail,
        found: "this kernel has none (no /sys/bus/event_source/devices/uprobe)".to_owned(),
        consequence: "no instruction of a program can be probed",
        fix: "a kernel built with CONFIG_UPROBE_EVENTS=y and CONFIG_BPF_EVENTS=y, with /sys mounted"
            .to_owned(),
    }
}

pub(super) fn btf(root: &Path) -> Check {
    const NAME: &str = "kernel BTF";
    if root.join("sys/kernel/btf/vmlinux").exists() {
        return Check::ok(NAME, "available");
    }
    Check {
        name: NAME,
        verdict: Verdict::Fail,
        found: "no /sys/kernel/btf/vmlinux".to_owned(),
        consequence: "the programs cannot look at the kernel's own structures: no thread, no page fault",
        fix: "a kernel built with CONFIG_DEBUG_INFO_BTF=y".to_owned(),
    }
}

pub(super) fn lockdown(root: &Path) -> Check {
    const NAME: &str = "lockdown";
    let modes = fs::read_to_string(root.join("sys/kernel/security/lockdown")).unwrap_or_default();
    if modes.contains("[confidentiality]") {
        return Check {
            name: NAME,
            verdict: Verdict::Fail,
            found: "confidentiality".to_owned(),
            consequence: "the kernel loads no tracing programs in this mode",
            fix: "boot with lockdown=integrity, or without lockdown=".to_owned(),
        };
    }
    Check::ok(NAME, if modes.contains("[integrity]") { "integrity" } else { "none" })
}
