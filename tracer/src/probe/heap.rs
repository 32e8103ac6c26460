//! What the kernel side is to know of Go's allocator.

use tracer_ebpf::config::{HeapConfig, MOST_PS};

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
        most_ps: most_ps(),
    })
}

/// How many Ps to reckon with: a process has as many as it has CPUs, unless `GOMAXPROCS` says otherwise
/// (runtime/proc.go, `schedinit`). Each takes the verifier some time.
fn most_ps() -> u32 {
    let cpus = std::thread::available_parallelism()
        .map_or(MOST_PS, |cpus| u32::try_from(cpus.get()).unwrap_or(MOST_PS));
    let set = std::env::var("GOMAXPROCS").ok().and_then(|value| value.parse().ok());
    set.unwrap_or(0).max(cpus).min(MOST_PS)
}
