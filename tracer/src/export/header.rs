//! What all NDJSON reports have in common: their first line, and how lines are written.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::recorded::SCHEMA;
use crate::model::Subject;
use crate::target::gobin::Linking;
use crate::units::Nanos;

/// The header of a report on one process.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Header<'a> {
    schema: u64,
    gotrace: &'static str,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ppid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    watched: Option<bool>,
    exe: String,
    go_version: &'a str,
    module: Option<&'a str>,
    start_ns: Nanos,
    wall_clock_unix_ns: u64,
    kernel: &'a str,
    linking: &'a Linking,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<u32>,
}

impl<'a> Header<'a> {
    /// `start` is the moment whose wall clock the subject has.
    pub(super) fn of(subject: &'a Subject, start: Nanos) -> Self {
        Self {
            schema: SCHEMA,
            gotrace: env!("CARGO_PKG_VERSION"),
            pid: subject.pid,
            ppid: subject.parent,
            watched: subject.watched.then_some(true),
            exe: subject.exe.to_string_lossy().into_owned(),
            go_version: &subject.go_version,
            module: subject.module.as_deref(),
            start_ns: start,
            wall_clock_unix_ns: subject.wall_clock_unix_ns,
            kernel: &subject.kernel,
            linking: &subject.linking,
            run: subject.repetition.map(|repetition| repetition.run),
            runs: subject.repetition.map(|repetition| repetition.of),
        }
    }
}

/// Writes one object.
pub(super) fn write_line(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
