//! What gotrace itself may do, and what to do when that is not enough.

use std::{fmt, fs};

/// A capability that gotrace has a use for; its number is that of include/uapi/linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `/proc/PID/mem` of other users' processes, and binaries that not everybody may read (fs/namei.c,
    /// `generic_permission`).
    DacReadSearch = 2,
    /// What `/proc/PID` shows of other users' processes, and of those that may do more than gotrace (kernel/ptrace.c,
    /// `__ptrace_may_access`; security/commoncap.c, `cap_ptrace_access_check`).
    SysPtrace = 19,
    /// Probes on instructions where the kernel takes them one at a time (`uprobe_multi` links came with Linux 6.6):
    /// kernel/events/core.c, `perf_uprobe_event_init`, asks for it since "perf: Revert to requiring CAP_SYS_ADMIN for
    /// uprobes" (6.16, 6.1.146 and other stable releases). It also stands for Perfmon and Bpf.
    SysAdmin = 21,
    /// Programs that look at the kernel and at others' processes (kernel/bpf/syscall.c, `bpf_prog_load`), and timers on
    /// every CPU (include/linux/perf_event.h, `perf_allow_cpu`).
    Perfmon = 38,
    /// Programs and maps in the kernel (kernel/bpf/syscall.c).
    Bpf = 39,
}

/// `CAP_DAC_OVERRIDE`, which lets read too.
const DAC_OVERRIDE: u32 = 1;

impl Capability {
    /// Those that everything works with, but for kernels that ask for [`Capability::SysAdmin`].
    pub const NEEDED: [Self; 4] = [Self::Bpf, Self::Perfmon, Self::SysPtrace, Self::DacReadSearch];

    /// The number of another one, with which the kernel lets do the same.
    #[must_use]
    pub const fn stand_in(self) -> Option<u32> {
        match self {
            // `bpf_capable` and `perfmon_capable` in include/linux/capability.h.
            Self::Bpf | Self::Perfmon => Some(Self::SysAdmin as u32),
            Self::DacReadSearch => Some(DAC_OVERRIDE),
            Self::SysPtrace | Self::SysAdmin => None,
        }
    }

    /// As the kernel calls it.
    #[must_use]
    pub const fn full_name(self) -> &'static str {
        match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }

    /// As Kubernetes and Docker call it, without `CAP_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.full_name().trim_start_matches("CAP_")
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.full_name())
    }
}

/// `CAP_BPF and CAP_PERFMON`.
#[must_use]
pub fn listed(capabilities: &[Capability]) -> String {
    capabilities.iter().map(Capability::to_string).collect::<Vec<_>>().join(" and ")
}

/// A process's rights, as `/proc/PID/status` tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    effective: u64,
    /// The effective user id.
    pub user: u32,
}

impl Rights {
    /// Nobody's.
    pub const NONE: Self = Self { effective: 0, user: u32::MAX };

    /// gotrace's own; none when /proc does not tell.
    #[must_use]
    pub fn own() -> Self {
        fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|status| Self::of_status(&status))
            .unwrap_or(Self::NONE)
    }

    /// Reads them from the text of a `/proc/PID/status`.
    #[must_use]
    pub fn of_status(status: &str) -> Option<Self> {
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let effective = u64::from_str_radix(field("CapEff:")?, 16).ok()?;
        // Real, effective, saved, of the file system.
        let user = field("Uid:")?.split_whitespace().nth(1)?.parse().ok()?;
        Some(Self { effective, user })
    }

    /// Whether the kernel lets a process with these do what the capability is for.
    #[must_use]
    pub fn allow(self, capability: Capability) -> bool {
        let has = |bit: u32| self.effective >> bit & 1 == 1;
        has(capability as u32) || capability.stand_in().is_some_and(has)
    }

    /// Those of `needed` that are not there.
    #[must_use]
    pub fn missing(self, needed: &[Capability]) -> Vec<Capability> {
        needed.iter().copied().filter(|capability| !self.allow(*capability)).collect()
    }

    /// How somebody with these rights gets the missing ones.
    #[must_use]
    pub fn remedy(self, missing: &[Capability], command: &str) -> String {
        if self.user != 0 {
            return format!("sudo {command}");
        }
        let names: Vec<&str> = missing.iter().map(|capability| capability.name()).collect();
        format!(
            "leave root its rights: in Kubernetes securityContext.capabilities.add: [{}], in Docker {}, in systemd \
             CapabilityBoundingSet={}",
            names.join(", "),
            names.iter().map(|name| format!("--cap-add {name}")).collect::<Vec<_>>().join(" "),
            missing.iter().map(Capability::to_string).collect::<Vec<_>>().join(" "),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(effective: &str) -> Rights {
        Rights::of_status(&format!("Name:\tx\nUid:\t1\t0\t1\t1\nCapEff:\t{effective}\n")).unwrap()
    }

    #[test]
    fn four_are_enough_and_each_is_missed() {
        let four = 1_u64 << 39 | 1 << 38 | 1 << 19 | 1 << 2;
        assert_eq!(rights(&format!("{four:016x}")).missing(&Capability::NEEDED), []);
        for capability in Capability::NEEDED {
            let fewer = rights(&format!("{:016x}", four & !(1 << capability as u32)));
            assert_eq!(fewer.missing(&Capability::NEEDED), [capability]);
            let remedy = fewer.remedy(&[capability], "gotrace list");
            assert!(remedy.contains(&format!("[{}]", capability.name())), "{remedy}");
        }
    }

    #[test]
    fn the_old_ones_stand_for_the_new_where_the_kernel_says_so() {
        assert_eq!(
            rights("0000000000200000").missing(&Capability::NEEDED),
            [Capability::SysPtrace, Capability::DacReadSearch]
        );
        assert!(rights("0000000000000002").allow(Capability::DacReadSearch));
        assert!(!rights("000001ffffdfffff").allow(Capability::SysAdmin));
    }

    #[test]
    fn what_is_no_status_has_none() {
        for status in ["", "CapEff:\tx\nUid:\t0\t0\t0\t0\n", "CapEff:\t0\n", "CapEff:\t0\nUid:\t0\n"] {
            assert_eq!(Rights::of_status(status), None, "{status}");
        }
        assert_eq!(
            Rights::own().user,
            fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap()
        );
    }
}
