//! The lines of a run's report, field by field.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::export::header::Header;
use crate::export::shared_lines::{FindingLine, MissingLine};
use crate::model::{self, Cause};
use crate::units::Nanos;

/// A line of a report on a start: of run, and of watch.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "StartLine")]
pub(super) enum Line<'a> {
    /// Whose report it is: the first line.
    Header(Header<'a>),
    /// A phase of the start; `parts` of it are the main thread's.
    Phase {
        name: &'static str,
        start_ns: Nanos,
        duration_ns: Nanos,
        done: bool,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        steps: Vec<Step>,
        #[serde(flatten)]
        parts: Option<Parts>,
    },
    /// A package's init; `parts` of it are the main thread's.
    Init {
        seq: usize,
        package: String,
        start_ns: Nanos,
        wall_ns: Nanos,
        done: bool,
        resolved: bool,
        #[serde(flatten)]
        parts: Option<Parts>,
        goroutines_started: Option<u64>,
        goroutines_at_main: Option<u64>,
        module: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        imported_by: Option<&'a str>,
        allocs: Option<u64>,
        bytes: Option<u64>,
        file: Option<&'a str>,
        line: Option<u32>,
    },
    /// A function of a package's init; without times where it could not be seen to begin.
    InitFunction {
        package: String,
        function: &'a str,
        file: Option<&'a str>,
        line: Option<u32>,
        start_ns: Option<Nanos>,
        wall_ns: Option<Nanos>,
    },
    /// What there was when `main.main` began.
    AtMain { threads: u64, ps: Option<u64>, goroutines: u64 },
    /// A long wait of the main goroutine; its stack is innermost first.
    Wait {
        package: Option<String>,
        kind: &'static str,
        syscall: Option<&'a str>,
        object: Option<&'a str>,
        wait_reason: Option<&'static str>,
        start_ns: Nanos,
        duration_ns: Nanos,
        goid: Option<u64>,
        stack: Vec<String>,
    },
    /// A file opened or an address connected before `main.main`.
    Call { package: Option<String>, syscall: &'a str, object: &'a str, result: i64, returned_ns: Nanos },
    /// A file of which code was mapped before `main.main`.
    Library { path: &'a str, package: Option<String>, start_ns: Nanos, duration_ns: Nanos, bytes: u64 },
    /// What stands out.
    Finding(FindingLine<'a>),
    /// What could not be seen, and why.
    Missing(MissingLine<'a>),
    /// A probe's account: its hits, and how many of their records were lost.
    Loss { probe: &'static str, hits: u64, dropped: u64 },
    /// The last line.
    Summary {
        to_main_ns: Option<Nanos>,
        to_ready_ns: Option<Nanos>,
        #[serde(skip_serializing_if = "Option::is_none")]
        not_ready: Option<&'a str>,
        ended: &'static str,
        exit_code: Option<i32>,
        signal: Option<i32>,
        replaced_by: Option<&'a str>,
        inits: usize,
        events: u64,
        dropped: u64,
        undecodable: u64,
        unresolved: u64,
        complete: bool,
        /// What gotrace itself cost the program up to `main.main`, about.
        target_overhead_ns: Option<Nanos>,
    },
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) start_ns: Nanos,
    pub(super) duration_ns: Nanos,
}

/// Where the time of a phase or an init went.
#[derive(Serialize, JsonSchema)]
pub(super) struct Parts {
    on_cpu_ns: Nanos,
    runnable_ns: Nanos,
    blocked_ns: Nanos,
    remainder_ns: Nanos,
    /// What `blocked_ns` consists of, by cause: `file_ns` and so on.
    #[serde(serialize_with = "by_cause")]
    #[schemars(schema_with = "of_causes")]
    blocked: [(Cause, Nanos); Cause::ALL.len()],
    syscalls: u64,
    page_faults: Option<u64>,
    major_faults: Option<u64>,
    /// How long of it all the main goroutine was made to mark for the garbage collector, as the runtime counts it.
    gc_assist_ns: Option<Nanos>,
}

impl Parts {
    pub(super) fn of(parts: &model::Parts) -> Self {
        Self {
            on_cpu_ns: parts.on_cpu,
            runnable_ns: parts.runnable,
            blocked_ns: parts.blocked(),
            remainder_ns: parts.remainder,
            blocked: Cause::ALL.map(|cause| (cause, parts.blocked_by(cause))),
            syscalls: parts.syscalls,
            page_faults: parts
                .minor_faults
                .zip(parts.major_faults)
                .map(|(minor, major)| minor.saturating_add(major)),
            major_faults: parts.major_faults,
            gc_assist_ns: parts.assist,
        }
    }
}

fn by_cause<S: Serializer>(blocked: &[(Cause, Nanos)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(blocked.iter().map(|(cause, time)| (format!("{}_ns", cause.name()), time)))
}

/// What [`by_cause`] writes.
fn of_causes(generator: &mut SchemaGenerator) -> Schema {
    let names = Cause::ALL.map(|cause| format!("{}_ns", cause.name()));
    let time = generator.subschema_for::<Nanos>();
    let properties: Map<String, Value> =
        names.iter().map(|name| (name.clone(), time.clone().to_value())).collect();
    schemars::json_schema!({ "type": "object", "properties": properties, "required": names })
}
