//! What the kernel side is to know to tell starts of many processes.

use tracer_ebpf::config::WatchConfig;

use super::btf::offsets_of;

/// Which starts to tell, and with what room.
#[derive(Clone, Copy, Debug)]
pub struct Starts {
    /// What is to be known of the kernel.
    pub config: WatchConfig,
    /// How many starts can be under way at a time.
    pub most_under_way: u32,
    /// Of how many files it is known when they were told last.
    pub most_files: u32,
    /// How many processes that do not listen yet are told when they do; 1 when none is told.
    pub most_silent: u32,
}

impl Starts {
    /// None is watched.
    pub const NONE: Self =
        Self { config: WatchConfig::NONE, most_under_way: 1, most_files: 1, most_silent: 1 };
}

/// What the running kernel's type information says; all zero where it does not. With `tell_files` execs of new files
/// are told.
#[must_use]
pub fn watch_config(tell_files: bool) -> WatchConfig {
    let offsets = offsets_of([
        ("task_struct", "real_parent"),
        ("task_struct", "tgid"),
        ("linux_binprm", "file"),
        ("file", "f_inode"),
        ("inode", "i_ino"),
        ("inode", "i_sb"),
        ("super_block", "s_dev"),
    ]);
    let config = WatchConfig { tell_files: tell_files.into(), ..WatchConfig::NONE };
    let Ok([real_parent, tgid, binprm, file, number, superblock, device]) = offsets else { return config };
    let config = WatchConfig { real_parent: real_parent.unwrap_or(0), tgid: tgid.unwrap_or(0), ..config };
    let of_file = [binprm, file, number, superblock, device];
    let [
        Some(binprm_file),
        Some(file_inode),
        Some(inode_number),
        Some(inode_superblock),
        Some(superblock_device),
    ] = of_file
    else {
        return config;
    };
    WatchConfig { binprm_file, file_inode, inode_number, inode_superblock, superblock_device, ..config }
}
