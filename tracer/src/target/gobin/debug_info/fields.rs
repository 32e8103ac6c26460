//! Which fields gotrace reads, and what the runtime's source code calls them. Also what `cargo xtask offsets` writes down.

use thiserror::Error;

use super::structures::Structures;

/// A field that the debug information does not have.
#[derive(Debug, Error)]
#[error("{structure} has no {}", paths.join(" and no "))]
pub(crate) struct MissingField {
    structure: &'static str,
    paths: &'static [&'static str],
}

/// Larger than any structure of the runtime, in bytes: whoever reads one reads as far as its last field.
const MOST: u64 = 1 << 16;

/// A field of gotrace's, and what it is in the runtime.
struct Field {
    name: &'static str,
    structure: &'static str,
    /// The names that it has had.
    paths: &'static [&'static str],
    /// Whether some versions lack it.
    optional: bool,
}

const fn field(name: &'static str, structure: &'static str, paths: &'static [&'static str]) -> Field {
    Field { name, structure, paths, optional: false }
}

const fn optional(name: &'static str, structure: &'static str, paths: &'static [&'static str]) -> Field {
    Field { name, structure, paths, optional: true }
}

/// A structure of gotrace's.
pub(crate) struct Layout {
    /// Its field of `Layouts`.
    pub(crate) name: &'static str,
    /// The first minor version of Go that gotrace reads it of.
    pub(crate) since: u32,
    fields: &'static [Field],
}

const WORK: &str = "runtime.workType";
const SCHED: &str = "runtime.schedt";
const HISTOGRAM: &str = "runtime.timeHistogram";
const CONTROLLER: &str = "runtime.gcControllerState";

pub(crate) const LAYOUTS: [Layout; 10] = [
    Layout {
        name: "g",
        since: 0,
        fields: &[
            field("m", "runtime.g", &["m"]),
            field("sched_sp", "runtime.g", &["sched.sp"]),
            field("sched_pc", "runtime.g", &["sched.pc"]),
            field("sched_bp", "runtime.g", &["sched.bp"]),
            field("syscallsp", "runtime.g", &["syscallsp"]),
            field("syscallpc", "runtime.g", &["syscallpc"]),
            optional("syscallbp", "runtime.g", &["syscallbp"]),
            field("atomicstatus", "runtime.g", &["atomicstatus"]),
            field("goid", "runtime.g", &["goid"]),
            field("waitsince", "runtime.g", &["waitsince"]),
            field("waitreason", "runtime.g", &["waitreason"]),
            field("lockedm", "runtime.g", &["lockedm"]),
            optional("parent", "runtime.g", &["parentGoid"]),
            field("gopc", "runtime.g", &["gopc"]),
            field("startpc", "runtime.g", &["startpc"]),
        ],
    },
    Layout {
        name: "m",
        since: 0,
        fields: &[
            field("procid", "runtime.m", &["procid"]),
            field("curg", "runtime.m", &["curg"]),
            field("p", "runtime.m", &["p"]),
            field("id", "runtime.m", &["id"]),
        ],
    },
    Layout {
        name: "p",
        since: 0,
        fields: &[field("status", "runtime.p", &["status"]), field("m", "runtime.p", &["m"])],
    },
    Layout {
        name: "poll",
        since: 0,
        fields: &[
            field("fd", "runtime.pollDesc", &["fd"]),
            field("rg", "runtime.pollDesc", &["rg"]),
            field("wg", "runtime.pollDesc", &["wg"]),
        ],
    },
    Layout {
        name: "heap",
        since: 0,
        fields: &[
            field("heap_stats_size", "runtime.consistentHeapStats", &[]),
            field("delta_size", "runtime.heapStatsDelta", &[]),
            field("tiny_alloc_count", "runtime.heapStatsDelta", &["tinyAllocCount"]),
            field("large_alloc_count", "runtime.heapStatsDelta", &["largeAllocCount"]),
            field("small_alloc_count", "runtime.heapStatsDelta", &["smallAllocCount"]),
            field("total_alloc", "runtime.gcControllerState", &["totalAlloc"]),
            field("p_mcache", "runtime.p", &["mcache"]),
            field("mcache_tiny_allocs", "runtime.mcache", &["tinyAllocs"]),
            field("mspan_alloc_count", "runtime.mspan", &["allocCount"]),
        ],
    },
    Layout {
        name: "work",
        since: 21,
        fields: &[
            field("size", WORK, &[]),
            field("user_forced", WORK, &["userForced"]),
            field("cycles", WORK, &["cycles"]),
            field("stwprocs", WORK, &["stwprocs"]),
            field("maxprocs", WORK, &["maxprocs"]),
            field("t_sweep_term", WORK, &["tSweepTerm"]),
            field("pause_ns", WORK, &["pauseNS"]),
            field("heap0", WORK, &["heap0"]),
            // Go 1.23 exported the name.
            field("cpu_assist", WORK, &["cpuStats.GCAssistTime", "cpuStats.gcAssistTime"]),
        ],
    },
    Layout {
        name: "controller",
        since: 21,
        fields: &[
            field("gc_percent", CONTROLLER, &["gcPercent"]),
            field("memory_limit", CONTROLLER, &["memoryLimit"]),
            field("last_heap_goal", CONTROLLER, &["lastHeapGoal"]),
            field("heap_live", CONTROLLER, &["heapLive"]),
            field("last_stack_scan", CONTROLLER, &["lastStackScan"]),
            field("globals_scan", CONTROLLER, &["globalsScan"]),
            field("heap_marked", CONTROLLER, &["heapMarked"]),
            field("assist_time", CONTROLLER, &["assistTime"]),
            field("total_alloc", CONTROLLER, &["totalAlloc"]),
        ],
    },
    Layout {
        name: "stats",
        since: 21,
        fields: &[
            field("pause_total_ns", "runtime.mstats", &["pause_total_ns"]),
            field("numgc", "runtime.mstats", &["numgc"]),
        ],
    },
    Layout {
        name: "scheduler",
        since: 21,
        fields: &[
            field("lock", SCHED, &["lock"]),
            field("gcwaiting", SCHED, &["gcwaiting"]),
            field("ngsys", SCHED, &["ngsys"]),
            // Go 1.25 counts them by list.
            field("free", SCHED, &["gFree.n", "gFree.stack.size"]),
            optional("free_without_stack", SCHED, &["gFree.noStack.size"]),
            field("free_of_p", "runtime.p", &["gFree.n", "gFree.size", "gFree.gList.size"]),
        ],
    },
    Layout {
        name: "pauses",
        // Go 1.21 has a histogram of the collector's stops alone, in memstats.
        since: 22,
        fields: &[
            field("stopping_gc", SCHED, &["stwStoppingTimeGC"]),
            field("stopping_other", SCHED, &["stwStoppingTimeOther"]),
            field("total_gc", SCHED, &["stwTotalTimeGC"]),
            field("total_other", SCHED, &["stwTotalTimeOther"]),
            field("underflow", HISTOGRAM, &["underflow"]),
            field("overflow", HISTOGRAM, &["overflow"]),
        ],
    },
];

/// What was read of one version: the fields of each of [`LAYOUTS`], or none where gotrace reads none of it.
pub(crate) type Numbers = Vec<Option<Vec<(&'static str, Number)>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// Of a field that all versions have.
    Always(u64),
    /// Of one that some lack.
    Sometimes(Option<u64>),
}

/// Reads every field.
///
/// # Errors
/// When one that every version has is not there.
pub(crate) fn read(structures: &Structures, minor: u32) -> Result<Numbers, MissingField> {
    LAYOUTS.iter().map(|layout| layout.read(structures, minor)).collect()
}

impl Layout {
    fn read(
        &self,
        structures: &Structures,
        minor: u32,
    ) -> Result<Option<Vec<(&'static str, Number)>>, MissingField> {
        if minor < self.since {
            return Ok(None);
        }
        let numbers = self.fields.iter().map(|field| Ok((field.name, field.read(structures)?)));
        numbers.collect::<Result<_, _>>().map(Some)
    }
}

impl Field {
    fn read(&self, structures: &Structures) -> Result<Number, MissingField> {
        let found = match self.paths {
            // The structure itself.
            [] => structures.size(self.structure),
            paths => paths.iter().find_map(|path| structures.member(self.structure, path)),
        };
        let found = found.filter(|found| *found < MOST);
        match (found, self.optional) {
            (found, true) => Ok(Number::Sometimes(found)),
            (Some(found), false) => Ok(Number::Always(found)),
            (None, false) => Err(MissingField { structure: self.structure, paths: self.paths }),
        }
    }
}
