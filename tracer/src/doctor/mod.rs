//! Can gotrace work here? Each check says what it found, what follows from it, and the command that fixes it.

mod capabilities;
mod kernel;
mod trial;

use std::fmt;
use std::path::Path;

use thiserror::Error;

pub use trial::trial;

use crate::target::capabilities::Capability;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// gotrace works, with less.
    Warn,
    /// gotrace cannot trace here.
    Fail,
}

/// One prerequisite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What follows from it; empty when all is well.
    pub consequence: &'static str,
    /// What to do about it; empty when all is well.
    pub fix: String,
}

/// Everything that keeps gotrace from tracing here, at once.
#[derive(Debug, Error)]
pub struct Unfit(Vec<Check>);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot trace here:")?;
        for Check { name, verdict: _, found, consequence, fix } in &self.0 {
            write!(f, "\n  {name}: {found}\n    {consequence}\n    fix: {fix}")?;
        }
        Ok(())
    }
}

/// Looks at this machine, kernel and process. `command` is what the user wanted to run, for the advice.
#[must_use]
pub fn checks(command: &str) -> Vec<Check> {
    checks_below(Path::new("/"), super::probe::embedded_object().is_some(), command)
}

/// The same, with the kernel's files below `root`.
fn checks_below(root: &Path, has_object: bool, command: &str) -> Vec<Check> {
    let mut checks = vec![object(has_object)];
    checks.extend(capabilities::checks(root, command));
    checks.extend([kernel::release(root), kernel::uprobes(root), kernel::btf(root), kernel::lockdown(root)]);
    checks
}

/// The capabilities that everything works with, on the kernel that runs here.
#[must_use]
pub fn needed_capabilities() -> Vec<Capability> {
    capabilities::needed(Path::new("/"))
}

/// Whether nothing stands in the way.
///
/// # Errors
/// All failed checks together.
pub fn fit(checks: Vec<Check>) -> Result<(), Unfit> {
    let failed: Vec<Check> = checks.into_iter().filter(|check| check.verdict == Verdict::Fail).collect();
    if failed.is_empty() { Ok(()) } else { Err(Unfit(failed)) }
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), consequence: "", fix: String::new() }
    }
}

fn object(present: bool) -> Check {
    const NAME: &str = "BPF object";
    if present {
        return Check::ok(NAME, "embedded");
    }
    Check {
        name: NAME,
        verdict: Verdict::Fail,
        found: "this gotrace was built without it, for lack of a BPF toolchain".to_owned(),
        consequence: "it can read binaries but not trace",
        fix: "cargo xtask setup && cargo build --release".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A machine's files, as far as the checks look at them.
    fn machine(capabilities: &str, uprobe: bool, btf: bool, lockdown: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/self/status", &format!("Uid:\t1\t1\t1\t1\nCapEff:\t{capabilities}\n"));
        write("proc/self/uid_map", "         0          0 4294967295\n");
        write("proc/sys/kernel/osrelease", "6.12.1\n");
        if uprobe {
            write("sys/bus/event_source/devices/uprobe/type", "9\n");
        }
        if btf {
            write("sys/kernel/btf/vmlinux", "");
        }
        write("sys/kernel/security/lockdown", lockdown);
        root
    }

    fn failures(root: &Path, has_object: bool) -> String {
        fit(checks_below(root, has_object, "gotrace run"))
            .map_or_else(|unfit| unfit.to_string(), |()| String::new())
    }

    const ALL: &str = "000001ffffffffff";

    #[test]
    fn a_fit_machine_is_fit() {
        let root = machine(ALL, true, true, "[none] integrity confidentiality\n");
        assert_eq!(failures(root.path(), true), "");
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let root = machine("0000000000000000", false, false, "none integrity [confidentiality]\n");
        let failures = failures(root.path(), false);
        for part in ["BPF object", "CAP_BPF", "CAP_PERFMON", "sudo gotrace run", "uprobes", "lockdown"] {
            assert!(failures.contains(part), "{part} is not in {failures}");
        }
    }

    fn capabilities_of(root: &Path) -> Vec<(Verdict, &'static str)> {
        let checks = checks_below(root, true, "gotrace list").into_iter();
        checks
            .filter(|check| check.name == "capabilities" || check.name.starts_with("CAP_"))
            .map(|check| (check.verdict, check.name))
            .collect()
    }

    #[test]
    fn four_capabilities_are_enough_and_two_to_trace_what_is_ones_own() {
        let root = machine("000000c000080004", true, true, "[none]");
        assert_eq!(capabilities_of(root.path()), [(Verdict::Ok, "capabilities")]);
        let root = machine("000000c000000000", true, true, "[none]");
        assert_eq!(failures(root.path(), true), "");
        let missing = ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"];
        assert_eq!(capabilities_of(root.path()), missing.map(|name| (Verdict::Warn, name)));
    }

    #[test]
    fn before_uprobe_multi_another_one_is_asked_for() {
        let root = machine("000000c000080004", true, true, "[none]");
        fs::write(root.path().join("proc/sys/kernel/osrelease"), "6.5.13-generic\n").unwrap();
        assert_eq!(failures(root.path(), true), "");
        assert_eq!(capabilities_of(root.path()), [(Verdict::Warn, "CAP_SYS_ADMIN")]);
    }

    #[test]
    fn the_capabilities_of_a_user_namespace_are_none() {
        let root = machine(ALL, true, true, "[none]");
        for map in ["0 100000 65536\n", "0 0 1\n", "1000 1000 1\n"] {
            fs::write(root.path().join("proc/self/uid_map"), map).unwrap();
            assert!(failures(root.path(), true).contains("user namespace"), "{map}");
        }
    }

    #[test]
    fn a_kernel_without_btf_is_unfit() {
        let root = machine(ALL, true, false, "[none]");
        assert!(failures(root.path(), true).contains("CONFIG_DEBUG_INFO_BTF"));
    }

    #[test]
    fn a_kernel_without_uprobes_cannot_be_used() {
        let root = machine(ALL, false, true, "[none]");
        assert!(failures(root.path(), true).contains("CONFIG_UPROBE_EVENTS"));
    }
}
