//! Is this the process that gotrace looks at?

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_get_ns_current_pid_tgid},
};

use super::maps::{BLOCKING, CONFIG};

/// Whether the current task belongs to the target.
#[inline(always)]
pub(super) fn is_current() -> bool {
    let config = CONFIG.load();
    if config.pid_namespace_inode == 0 {
        return (bpf_get_current_pid_tgid() >> 32) as u32 == config.tgid;
    }
    let ids = ids_in(config.pid_namespace_device, config.pid_namespace_inode);
    ids.is_some_and(|ids| ids.tgid == config.tgid)
}

/// The current thread's id as the target itself has it; 0 when it is not one of its PID namespace.
#[inline(always)]
pub(super) fn own_tid() -> u32 {
    let config = BLOCKING.load();
    if config.namespace_inode == 0 {
        return bpf_get_current_pid_tgid() as u32;
    }
    ids_in(config.namespace_device, config.namespace_inode).map_or(0, |ids| ids.pid)
}

#[inline(always)]
fn ids_in(device: u64, inode: u64) -> Option<bpf_pidns_info> {
    let mut ids = bpf_pidns_info { pid: 0, tgid: 0 };
    let size = size_of::<bpf_pidns_info>() as u32;
    // SAFETY: the helper writes `size` bytes to `ids`, which is that large and lives on the stack.
    let result = unsafe { bpf_get_ns_current_pid_tgid(device, inode, &raw mut ids, size) };
    (result == 0).then_some(ids)
}
