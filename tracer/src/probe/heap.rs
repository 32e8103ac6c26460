//! What the kernel side is to know of Go's allocator.

use tracer_ebpf::config::HeapConfig;

use crate::target::gobin::{GoBinary, HeapRefusal};

/// Where a binary's allocator counts.
///
/// # Errors
/// When that is not known.
pub fn heap_config(binary: &GoBinary) -> Result<HeapConfig, HeapRefusal> {
    let (layout, globals) = binary.heap_globals()?;
    Ok(HeapConfig {
        // `stats` is the first field of the first field.
        heap_stats: globals.memstats.0,
        total_alloc: globals.gc_controller.0.wrapping_add(u64::from(layout.total_alloc)),
        allp: globals.allp.0,
        delta_size: layout.delta_size,
        tiny_alloc_count: layout.tiny_alloc_count,
        large_alloc_count: layout.large_alloc_count,
        small_alloc_count: layout.small_alloc_count,
        p_mcache: layout.p_mcache,
        mcache_tiny_allocs: layout.mcache_tiny_allocs,
        mspan_alloc_count: layout.mspan_alloc_count,
        reserved: 0,
    })
}
