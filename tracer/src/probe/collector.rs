//! What the kernel side is told of the garbage collector.

use std::io;

use tracer_ebpf::config::GcConfig;

use super::Probe;
use super::btf::offsets_of;
use super::gc::GcPlan;
use crate::target::gobin::{GoBinary, HeapLayout, Holders, RuntimeLayout};

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

/// How to read what the collector has noted; all zeroes when the layout of the runtime is not known.
#[must_use]
pub fn gc_config(binary: &GoBinary, plan: &GcPlan) -> GcConfig {
    let Some(RuntimeLayout { g, m, .. }) = RuntimeLayout::of(binary.version()) else { return GcConfig::NONE };
    let GcPlan { layout, globals, .. } = plan;
    let within = |variable: crate::units::VirtAddr, offset: u32| variable.0.wrapping_add(u64::from(offset));
    GcConfig {
        work: within(globals.work, layout.work.from),
        controller: globals.controller.0,
        stats: within(globals.memstats, layout.stats.numgc),
        pause_total: within(globals.memstats, layout.stats.pause_total_ns),
        g_m: g.m,
        m_curg: m.curg,
        told_later: told_later(plan),
        ..GcConfig::NONE
    }
}
