//! What the kernel side is told before it is loaded.

use std::time::Duration;

use tracer_ebpf::config::GoConfig;

use crate::probe::kernel_offset_of;
use crate::target::gobin::{GoBinary, RuntimeLayout, wait_reason};

/// Page faults are counted only where the kernel tells where it counts them.
pub(super) fn task_faults() -> u32 {
    match kernel_offset_of("task_struct", "min_flt") {
        Ok(offset) => offset.unwrap_or(0),
        Err(error) => {
            tracing::warn!("page faults are not counted: the kernel's type information: {error}");
            0
        }
    }
}

/// What the kernel side is to know of the runtime; nothing of one whose layout is not known.
pub(super) fn go_config(binary: &GoBinary, slow_wait: Duration) -> GoConfig {
    let slow_wait = u64::try_from(slow_wait.as_nanos()).unwrap_or(u64::MAX);
    let Some(RuntimeLayout { g, .. }) = binary.runtime_layout() else {
        tracing::warn!(
            "waits of goroutines are not told apart: the layout of {}'s g is not known",
            binary.version()
        );
        return GoConfig { slow_wait, ..GoConfig::default() };
    };
    let bits = |is_meant: fn(&str) -> bool| {
        (0..64)
            .filter(|number| wait_reason(binary.version(), *number).is_some_and(is_meant))
            .fold(0, |bits, number| bits | 1 << number)
    };
    GoConfig {
        network_reasons: bits(|reason| reason == "IO wait"),
        sleep_reasons: bits(|reason| reason == "sleep"),
        gc_reasons: bits(|reason| {
            [
                "GC assist",
                "garbage collection",
                "GC mark termination",
                "wait for GC cycle",
                "stopping the world",
            ]
            .iter()
            .any(|start| reason.starts_with(start))
        }),
        slow_wait,
        g_atomicstatus: g.atomicstatus,
        g_waitreason: g.waitreason,
        g_sched_pc: g.sched_pc,
        g_sched_bp: g.sched_bp,
        g_goid: g.goid,
        g_gopc: g.gopc,
        reserved: 0,
        tell_writes: 0,
    }
}
