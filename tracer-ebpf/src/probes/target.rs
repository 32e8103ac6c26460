//! Is this the process that gotrace looks at?

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_get_ns_current_pid_tgid},
};

use super::maps::CONFIG;

/// Whether the current task belongs to the target.
#[inline(always)]
pub(super) fn is_current() -> bool {
    let config = CONFIG.load();
    if config.pid_namespace_inode == 0 {
        return (bpf_get_current_pid_tgid() >> 32) as u32 == config.tgid;
    }
    let mut ids = bpf_pidns_info { pid: 0, tgid: 0 };
    let size = size_of::<bpf_pidns_info>() as u32;
    // SAFETY: the helper writes `size` bytes to `ids`, which is that large and lives on the stack.
    let result = unsafe {
        bpf_get_ns_current_pid_tgid(
            config.pid_namespace_device,
            config.pid_namespace_inode,
            &raw mut ids,
            size,
        )
    };
    result == 0 && ids.tgid == config.tgid
}
