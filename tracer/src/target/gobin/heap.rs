//! Where the runtime's allocator keeps its counters: offsets by Go version, and the addresses of three variables,
//! which no table names and which are found in the code that works with them.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::globals::agreed;
use super::{GoBinary, GoVersion, offsets};
use crate::units::VirtAddr;

/// Offsets in bytes (runtime/mstats.go, mgcpacer.go, mcache.go, mheap.go, runtime2.go). As with
/// [`super::RuntimeLayout`], they were read from DWARF, and did not move between a version's patch releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapLayout {
    /// `unsafe.Sizeof(mstats{}.heapStats)`: what follows in `mstats` counts from there.
    pub heap_stats_size: u32,
    /// `unsafe.Sizeof(heapStatsDelta{})`
    pub delta_size: u32,
    /// `heapStatsDelta.tinyAllocCount`
    pub tiny_alloc_count: u32,
    /// `heapStatsDelta.largeAllocCount`
    pub large_alloc_count: u32,
    /// `heapStatsDelta.smallAllocCount`
    pub small_alloc_count: u32,
    /// `gcControllerState.totalAlloc`
    pub total_alloc: u32,
    /// `p.mcache`
    pub p_mcache: u32,
    /// `mcache.tinyAllocs`, which `mcache.alloc` follows.
    pub mcache_tiny_allocs: u32,
    /// `mspan.allocCount`; `spanclass` is 2 bytes behind it, `allocCountBeforeCache` 6 and `elemsize` 8.
    pub mspan_alloc_count: u32,
}

impl HeapLayout {
    /// What the table has of a Go version; none when it was not measured, or when experiments may have changed it.
    #[must_use]
    pub fn of(version: &GoVersion) -> Option<Self> {
        offsets::of(version).map(|layouts| layouts.heap)
    }
}

/// The variables that the allocator's counters hang on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapGlobals {
    /// `runtime.memstats`
    pub memstats: VirtAddr,
    /// `runtime.gcController`
    pub gc_controller: VirtAddr,
    /// `runtime.allp`
    pub allp: VirtAddr,
}

/// Why the counters cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HeapRefusal {
    /// The offsets were not measured.
    #[error("where {0}'s allocator counts is not known to gotrace")]
    Layout(String),
    /// The functions that work with the variable agree on no place, or on more than one.
    #[error("its code does not tell where {0} is")]
    Global(&'static str),
}

impl GoBinary {
    /// Finds the variables.
    ///
    /// # Errors
    /// When the layout of the version is not known, or the code does not tell.
    pub fn heap_globals(&self) -> Result<(HeapLayout, HeapGlobals), HeapRefusal> {
        let layout = self.layouts().ok_or_else(|| HeapRefusal::Layout(self.version().to_string()))?.heap;
        let found = |variable, place: Option<VirtAddr>| place.ok_or(HeapRefusal::Global(variable));
        let globals = HeapGlobals {
            memstats: found("runtime.memstats", self.memstats(&layout))?,
            gc_controller: found("runtime.gcController", self.gc_controller(&layout))?,
            allp: found("runtime.allp", self.allp())?,
        };
        Ok((layout, globals))
    }

    /// `runtime.memstats`, whose `heapStats` is its first field; `last_gc_unix`, `pause_total_ns`, `numgc` and
    /// `last_gc_nanotime` follow.
    fn memstats(&self, layout: &HeapLayout) -> Option<VirtAddr> {
        let behind = [48, 56, 4160, 4176].map(|offset| layout.heap_stats_size + offset);
        agreed(
            self,
            &[
                ("runtime.gcMarkTermination", &behind),
                ("runtime.(*mcache).refill", &[0]),
                ("runtime.(*mcache).allocLarge", &[0]),
            ],
        )
    }

    /// `runtime.gcController`
    fn gc_controller(&self, layout: &HeapLayout) -> Option<VirtAddr> {
        agreed(
            self,
            &[
                ("runtime.(*mcache).refill", &[0, layout.total_alloc]),
                ("runtime.(*mcache).allocLarge", &[0, layout.total_alloc]),
            ],
        )
    }

    /// `runtime.allp`, a slice: its address, its length and its capacity.
    pub(super) fn allp(&self) -> Option<VirtAddr> {
        agreed(
            self,
            &[
                ("runtime.procresize", &[0, 8, 16]),
                ("runtime.stopTheWorldWithSema", &[0, 8]),
                ("runtime.gcMarkTinyAllocs", &[0, 8]),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::VersionSource;
    use super::*;

    fn of(version: &str) -> Option<HeapLayout> {
        HeapLayout::of(&GoVersion::parse(version, VersionSource::BuildInfo).unwrap())
    }

    #[test]
    fn only_what_was_measured_has_a_layout() {
        for known in ["go1.19.8", "go1.21.13", "go1.24.11", "go1.27.3"] {
            let layout = of(known).unwrap();
            let counters = layout.small_alloc_count - layout.tiny_alloc_count;
            assert_eq!((counters, layout.heap_stats_size - 3 * layout.delta_size), (24, 16), "{known}");
        }
        for unknown in ["go1.18", "go1.20.14", "go1.28", "go1.23.9 X:arenas", "go1.26.6-X:arenas"] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }
}
