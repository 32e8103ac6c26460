//! What the kernel side is told to sum up a running program's system calls.

use std::io;

use tracer_ebpf::config::{BlockingConfig, FileConfig};

use super::btf::offsets_of;
use crate::target::gobin::{GoBinary, RuntimeLayout};
use crate::target::pid_namespace::PidNamespace;
use crate::units::Nanos;

/// What to sum up, and how much room there is for it.
#[derive(Clone, Copy, Debug)]
pub struct Blocking {
    /// What to tell, and how to find who calls.
    pub config: BlockingConfig,
    /// How to find what descriptors stand for.
    pub files: FileConfig,
    /// How many sums are kept apart.
    pub most_sums: u32,
    /// How many places there are for sums without a stack; `BRIEF_ENTRIES`, or one.
    pub brief_entries: u32,
    /// How many threads are known at a time.
    pub most_threads: u32,
    /// How many goroutines may wait in the network poller at a time.
    pub most_waits: u32,
    /// How many samples are counted apart.
    pub most_samples: u32,
    /// How many places the kernel has for stacks; one that finds its place taken is lost.
    pub most_stacks: u32,
}

impl Blocking {
    /// Nothing is summed up, and the maps take no room.
    pub const NONE: Self = Self {
        config: BlockingConfig::NONE,
        files: FileConfig::NONE,
        most_sums: 1,
        brief_entries: 1,
        most_threads: 1,
        most_waits: 1,
        most_samples: 1,
        most_stacks: 1,
    };
}

/// How to find who makes a system call: nobody is looked for when the runtime's layout is not known.
#[must_use]
pub fn blocking_config(
    binary: &GoBinary,
    own_namespace: Option<PidNamespace>,
    slow: Nanos,
    stack_from: Nanos,
) -> BlockingConfig {
    let mut config = BlockingConfig { slow: slow.0, stack_from: stack_from.0, ..BlockingConfig::NONE };
    if let Some(namespace) = own_namespace {
        (config.namespace_device, config.namespace_inode) = (namespace.device, namespace.inode);
    }
    if let Some(RuntimeLayout { g, m, .. }) = binary.runtime_layout() {
        config.g_m = g.m;
        config.g_goid = g.goid;
        config.g_gopc = g.gopc;
        config.m_procid = m.procid;
        config.m_curg = m.curg;
        // `runtime.needm` is only linked into programs that C code can call.
        config.m_moves = u32::from(binary.functions().named("runtime.cgocallbackg").is_some());
    }
    config
}

/// Where the kernel keeps what a descriptor stands for; all zeroes when one of the fields is not known.
///
/// # Errors
/// When the kernel's type information cannot be read.
pub fn file_config() -> io::Result<FileConfig> {
    let offsets = offsets_of([
        ("task_struct", "files"),
        ("files_struct", "fdt"),
        ("fdtable", "max_fds"),
        ("fdtable", "fd"),
        ("file", "f_inode"),
        ("file", "private_data"),
        ("inode", "i_mode"),
        ("inode", "i_ino"),
        ("inode", "i_sb"),
        ("super_block", "s_dev"),
        ("socket", "sk"),
        ("socket", "type"),
        ("sock_common", "skc_family"),
        ("sock_common", "skc_daddr"),
        ("sock_common", "skc_dport"),
        ("sock_common", "skc_v6_daddr"),
        ("file", "f_path"),
        ("dentry", "d_name"),
        ("path", "dentry"),
        ("qstr", "name"),
    ])?;
    let mut all = [0; 20];
    for (offset, found) in all.iter_mut().zip(offsets) {
        let Some(found) = found else { return Ok(FileConfig::NONE) };
        *offset = found;
    }
    // Two are structures in structures.
    let [fields @ .., path, name, dentry_in_path, name_in_qstr] = all;
    let mut config = [0; 18];
    config[..16].copy_from_slice(&fields);
    (config[16], config[17]) = (path + dentry_in_path, name + name_in_qstr);
    Ok(zerocopy::transmute!(config))
}
