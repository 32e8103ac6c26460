//! What the kernel side is told of the garbage collector.

use std::io;

use tracer_ebpf::config::GcConfig;

use super::GcPlan;
use super::btf::offsets_of;
use crate::target::gobin::{GoBinary, Holders, RuntimeLayout};
use crate::units::VirtAddr;

/// What to tell of the collector, and how much room there is for it.
#[derive(Clone, Copy, Debug)]
pub struct Gc {
    /// Where it keeps its notes.
    pub config: GcConfig,
    /// How many sums of assists are kept apart.
    pub most_assists: u32,
}

impl Gc {
    /// Nothing is told, and the maps take no room.
    pub const NONE: Self = Self { config: GcConfig::NONE, most_assists: 1 };
}

/// Where the collector keeps its notes, as an address of the file; who asks for something is not told when the layout of
/// goroutines is not known.
#[must_use]
pub fn gc_config(binary: &GoBinary, plan: &GcPlan) -> GcConfig {
    let GcPlan { layout, globals, told_later, .. } = plan;
    let within = |variable: VirtAddr, offset: u32| variable.0.wrapping_add(u64::from(offset));
    let (g_m, m_curg) = binary.runtime_layout().map_or((0, 0), |known| (known.g.m, known.m.curg));
    GcConfig {
        work: within(globals.work, layout.work.from()),
        controller: globals.controller.0,
        stats: within(globals.memstats, layout.stats.numgc),
        pause_total: within(globals.memstats, layout.stats.pause_total_ns),
        g_m,
        m_curg,
        told_later: (*told_later).into(),
        ..GcConfig::NONE
    }
}

/// The same, and how to see who keeps the world from stopping, of a process whose addresses are larger by `bias`. None
/// when the layout of goroutines is not known.
///
/// # Errors
/// When the kernel's type information cannot be read.
pub fn holder_config(
    binary: &GoBinary,
    config: GcConfig,
    holders: &Holders,
    bias: u64,
) -> io::Result<Option<GcConfig>> {
    let Some(RuntimeLayout { g, m, p, .. }) = binary.runtime_layout() else { return Ok(None) };
    let of_kernel = offsets_of([
        ("task_struct", "on_cpu"),
        ("task_struct", "__state"),
        ("task_struct", "se"),
        ("sched_entity", "sum_exec_runtime"),
        ("task_struct", "signal"),
        ("signal_struct", "thread_head"),
        ("task_struct", "thread_node"),
        ("task_struct", "thread_pid"),
        ("pid", "level"),
        ("pid", "numbers"),
    ])?;
    let mut config = GcConfig {
        stopnote: holders.stopnote.0.wrapping_add(bias),
        allp: holders.allp.0,
        bias,
        p_status: p.status,
        p_m: p.m,
        g_sched_sp: g.sched_sp,
        g_atomicstatus: if g.syscallbp.is_some() { 0 } else { g.atomicstatus },
        m_procid: m.procid,
        ..config
    };
    if let [
        Some(on_cpu),
        Some(state),
        Some(entity),
        Some(runtime),
        Some(signal),
        Some(thread_head),
        Some(thread_node),
        Some(thread_pid),
        Some(level),
        Some(numbers),
    ] = of_kernel
    {
        config.task_on_cpu = on_cpu;
        config.task_state = state;
        config.task_runtime = entity + runtime;
        config.task_signal = signal;
        config.signal_thread_head = thread_head;
        config.task_thread_node = thread_node;
        config.task_thread_pid = thread_pid;
        config.pid_level = level;
        config.pid_numbers = numbers;
    }
    Ok(Some(config))
}
