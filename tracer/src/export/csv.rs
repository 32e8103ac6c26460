//! Tables for spreadsheets (RFC 4180): of a start its inits, of a running program where its goroutines were blocked. A
//! row is a line of the NDJSON report, a column one of its fields; a dot leads to a field of a field.

use std::io::{self, Write};

use csv::{Terminator, Writer, WriterBuilder};
use serde_json::Value;

use super::{Export, printable};
use crate::model::Report;
use crate::model::blocking::BlockingReport;

/// The fields of `init`.
const INIT: [&str; 30] = [
    "seq",
    "package",
    "module",
    "file",
    "line",
    "start_ns",
    "wall_ns",
    "done",
    "resolved",
    "on_cpu_ns",
    "runnable_ns",
    "blocked_ns",
    "blocked.file_ns",
    "blocked.network_ns",
    "blocked.dns_ns",
    "blocked.futex_ns",
    "blocked.sleep_ns",
    "blocked.page_fault_ns",
    "blocked.goroutine_ns",
    "blocked.gc_ns",
    "blocked.other_ns",
    "remainder_ns",
    "syscalls",
    "page_faults",
    "major_faults",
    "goroutines_started",
    "goroutines_at_main",
    "allocs",
    "bytes",
    "gc_assist_ns",
];

/// The fields of `blocking`.
const BLOCKING: [&str; 34] = [
    "kind",
    "class",
    "idle",
    "cause",
    "wait_reason",
    "syscall",
    "caller",
    "count",
    "total_ns",
    "max_ns",
    "max_is_bound",
    "p50_ns",
    "p99_ns",
    "runnable_ns",
    "errors",
    "joined",
    "retried",
    "site.function",
    "site.file",
    "site.line",
    "site_is",
    "origin.function",
    "origin.file",
    "origin.line",
    "waker",
    "waker_origin.function",
    "waker_origin.file",
    "waker_origin.line",
    "fd",
    "object",
    "object_type",
    "goid",
    "objects",
    "stack",
];

/// What is between the parts of a list in one cell.
const BETWEEN: &str = " < ";

/// The format.
pub(super) struct Csv;

impl Export for Csv {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        table(&INIT, report.init_lines()?, out)
    }

    fn running(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        table(&BLOCKING, report.blocking_lines()?, out)
    }
}

fn table(columns: &[&str], lines: Vec<Value>, out: &mut dyn Write) -> io::Result<()> {
    let mut table: Writer<_> = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
    table.write_record(columns)?;
    for line in lines {
        table.write_record(columns.iter().map(|column| cell(field(&line, column))))?;
    }
    table.flush()
}

fn field<'a>(line: &'a Value, column: &str) -> &'a Value {
    column.split('.').fold(line, |value, name| &value[name])
}

/// What is not known is an empty cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null | Value::Object(_) => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => harmless(text),
        Value::Array(parts) => {
            let part = |part: &Value| match part {
                // What an object took of a sum.
                Value::Object(object) => object.get("object").and_then(Value::as_str).map(str::to_owned),
                other => other.as_str().map(str::to_owned),
            };
            harmless(&parts.iter().filter_map(part).collect::<Vec<_>>().join(BETWEEN))
        }
    }
}

/// A spreadsheet takes a cell for a formula that begins like one; behind an apostrophe it is text (OWASP, "CSV
/// injection"). Whatever steers a terminal is escaped.
fn harmless(text: &str) -> String {
    let text = printable(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, expected) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\\u{9}=1"),
            ("net/http", "net/http"),
        ] {
            assert_eq!(cell(&Value::from(text)), expected);
            assert_eq!(cell(&Value::from(vec![text])), expected);
        }
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let mut out = Vec::new();
        let line = serde_json::json!({"a": "x,\"y\"", "b": {"c": 7}, "d": null});
        table(&["a", "b.c", "d", "e"], vec![line], &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a,b.c,d,e\r\n\"x,\"\"y\"\"\",7,,\r\n");
    }
}
