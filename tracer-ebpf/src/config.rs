//! What user space sets before load; constant from then on, so the verifier drops what it rules out.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The name of the global that holds the [`Config`].
pub const CONFIG_GLOBAL: &str = "CONFIG";

/// Which process to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Config {
    /// The device of the PID namespace's file, when `pid_namespace_inode` is set.
    pub pid_namespace_device: u64,
    /// The PID namespace that `tgid` is counted in; 0 for the initial one, which is cheaper to ask for.
    pub pid_namespace_inode: u64,
    /// The process's id in that namespace.
    pub tgid: u32,
    /// Keeps the size a multiple of eight.
    pub reserved: u32,
}
