//! A report that gotrace wrote earlier -> typed lines: the NDJSON contract read back. The file may come from
//! anywhere, so a line's length is bounded; types and fields that are not known here are passed over, as the
//! contract allows them to be added.

mod running;

use std::io::{self, BufRead, Read as _};

use serde::Deserialize;
use thiserror::Error;

pub use self::running::{Blocking, Gc, GcSummary, Site};
use crate::units::Nanos;

/// The contract's version that is read here.
pub const SCHEMA: u64 = 1;

/// The longest line that is read, in bytes. gotrace's own are shorter by far, stacks included.
const LINE_LIMIT: usize = 1 << 20;

/// One line of a report, as far as comparing needs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Recorded {
    /// The first line of a run.
    Header(Header),
    /// A phase.
    Phase(Phase),
    /// A package's init.
    Init(Init),
    /// Calls or waits of a running program.
    Blocking(Box<Blocking>),
    /// A cycle of the garbage collector.
    Gc(Gc),
    /// The sums of all cycles.
    GcSummary(GcSummary),
    /// The last line of a run, or of a report on a running program.
    Summary(Summary),
    /// Any other type.
    #[serde(other)]
    Other,
}

/// The first line of a run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// What the lines after it are, when they are no startup: `diff`, for instance.
    pub report: Option<String>,
    schema: Option<u64>,
    /// Whether its times begin at the end of the execve, and not at its call.
    #[serde(default)]
    pub watched: bool,
    /// The executable.
    #[serde(default)]
    pub exe: String,
    /// The Go version that built it.
    #[serde(default)]
    pub go_version: String,
    /// The main module's path.
    pub module: Option<String>,
}

/// A phase.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Phase {
    /// Its name in the contract.
    pub name: String,
    /// How long it took, or has taken so far.
    pub duration_ns: Nanos,
    /// Whether it came to its end.
    #[serde(default = "yes")]
    pub done: bool,
    /// What the time went to.
    #[serde(flatten)]
    pub spent: Spent,
}

/// A package's init.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Init {
    /// The package.
    pub package: String,
    /// How long it took, or has taken so far.
    pub wall_ns: Nanos,
    /// Whether it came to its end.
    #[serde(default = "yes")]
    pub done: bool,
    /// Whether `package` is a package's name, and not what stands for an unknown one.
    #[serde(default = "yes")]
    pub resolved: bool,
    /// What the time went to.
    #[serde(flatten)]
    pub spent: Spent,
}

/// What the time of a phase or an init went to, in nanoseconds; none for what was not measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Spent {
    /// On a processor.
    pub on_cpu_ns: Option<Nanos>,
    /// Ready to run, without a processor.
    pub runnable_ns: Option<Nanos>,
    /// Neither: waiting for something.
    pub blocked_ns: Option<Nanos>,
    /// In no known state.
    pub remainder_ns: Option<Nanos>,
    /// What was waited for; the kinds sum up to `blocked_ns`.
    pub blocked: Option<Blocked>,
}

/// What was waited for, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Blocked {
    pub file_ns: Option<Nanos>,
    pub network_ns: Option<Nanos>,
    pub dns_ns: Option<Nanos>,
    pub futex_ns: Option<Nanos>,
    pub sleep_ns: Option<Nanos>,
    pub page_fault_ns: Option<Nanos>,
    pub goroutine_ns: Option<Nanos>,
    pub gc_ns: Option<Nanos>,
    pub other_ns: Option<Nanos>,
}

/// The last line of a run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Summary {
    /// From execve to `main.main`.
    pub to_main_ns: Option<Nanos>,
    /// From execve to readiness.
    pub to_ready_ns: Option<Nanos>,
    /// Of a running program: for how long it was followed.
    pub span_ns: Option<Nanos>,
    /// Of a running program: how long its goroutines were blocked.
    pub suffered_ns: Option<Nanos>,
    /// Whether nothing was lost, left out or unknown.
    #[serde(default = "yes")]
    pub complete: bool,
}

const fn yes() -> bool {
    true
}

/// Why a report cannot be read.
#[derive(Debug, Error)]
pub enum RecordedError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line has no end within bounds.
    #[error("line {0} is longer than {LINE_LIMIT} bytes: no report of gotrace has such lines")]
    LongLine(u64),
    /// A line is no JSON object of the contract.
    #[error("line {line} is no line of a gotrace report: {source}")]
    Json {
        /// Its number, from one.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A header of another version of the contract.
    #[error("line {line}: the report has schema {schema}; this gotrace reads schema {SCHEMA}")]
    Schema {
        /// Its number, from one.
        line: u64,
        /// The version that it states.
        schema: u64,
    },
    /// A header that does not say which version it is of.
    #[error("line {0}: a header without a schema")]
    NoSchema(u64),
}

/// The lines of a report, one after another, each with its number; at most one of them is in memory.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads from `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, number: 0, line: Vec::new() }
    }

    /// The next line that is not empty; none at the end.
    ///
    /// # Errors
    /// As [`RecordedError`] lists them. What follows such a line must not be read.
    pub fn next_line(&mut self) -> Result<Option<(u64, Recorded)>, RecordedError> {
        loop {
            self.line.clear();
            self.number += 1;
            let line = self.number;
            let mut bounded = (&mut self.reader).take(LINE_LIMIT as u64 + 1);
            if bounded.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            if self.line.len() > LINE_LIMIT {
                return Err(RecordedError::LongLine(line));
            }
            let text = self.line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let recorded =
                serde_json::from_slice(text).map_err(|source| RecordedError::Json { line, source })?;
            if let Recorded::Header(header) = &recorded {
                match header.schema {
                    Some(SCHEMA) => {}
                    Some(schema) => return Err(RecordedError::Schema { line, schema }),
                    None => return Err(RecordedError::NoSchema(line)),
                }
            }
            return Ok(Some((line, recorded)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<Vec<(u64, Recorded)>, RecordedError> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line()? {
            all.push(line);
        }
        Ok(all)
    }

    #[test]
    fn unknown_types_and_fields_are_passed_over() {
        let text = br#"{"type":"header","schema":1,"gotrace":"9","new":{"a":[1]},"exe":"/a","go_version":"go1.30","module":null}
{"type":"of the future","anything":-1.5}

{"type":"init","package":"net","wall_ns":7,"blocked":{"page_fault_ns":3,"moon_ns":1},"start_ns":1}
"#;
        let lines = read(text).unwrap();
        assert_eq!(lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(lines[1].1, Recorded::Other);
        let Recorded::Init(init) = &lines[2].1 else { panic!("{:?}", lines[2]) };
        assert_eq!((init.package.as_str(), init.wall_ns, init.done), ("net", Nanos(7), true));
        assert_eq!(init.spent.blocked.as_ref().unwrap().page_fault_ns, Some(Nanos(3)));
        assert_eq!(init.spent.on_cpu_ns, None);
    }

    #[test]
    fn another_schema_is_refused_by_name() {
        let error = read(br#"{"type":"header","schema":2}"#).unwrap_err().to_string();
        assert!(error.contains("schema 2") && error.contains("schema 1"), "{error}");
        let error = read(br#"{"type":"header"}"#).unwrap_err().to_string();
        assert!(error.contains("without a schema"), "{error}");
    }

    #[test]
    fn what_is_no_report_is_refused_with_its_line() {
        for (text, says) in [
            (&b"app  example.com/app, go1.26.6\n"[..], "line 1"),
            (b"{\"type\":\"phase\"}", "name"),
            (b"\n[1,2]", "line 2"),
            (b"{\"type\":\"init\",\"package\":\"a\",\"wall_ns\":-1}", "line 1"),
            (b"{\"type\":\"init\",\"package\":\"a\",\"wall_ns\":99999999999999999999}", "line 1"),
            (b"\x7fELF\x00\xff", "line 1"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_memory_than_the_limit() {
        let mut lines = Lines::new(io::BufReader::new(io::repeat(b' ')));
        assert!(matches!(lines.next_line(), Err(RecordedError::LongLine(1))));
        assert!(lines.line.capacity() <= 4 * LINE_LIMIT);
    }

    #[test]
    fn a_line_of_the_longest_length_is_read() {
        let mut text = br#"{"type":"other"}"#.to_vec();
        text.resize(LINE_LIMIT - 1, b' ');
        text.push(b'\n');
        assert_eq!(read(&text).unwrap(), [(1, Recorded::Other)]);
        text.insert(0, b' ');
        assert!(matches!(read(&text), Err(RecordedError::LongLine(1))));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let text = format!(r#"{{"type":"wait","stack":{}"#, "[".repeat(500_000));
        assert!(matches!(read(text.as_bytes()), Err(RecordedError::Json { line: 1, .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_lines_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_report_with_a_byte_changed_ends_in_lines_or_an_error(at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = include_bytes!("../export/golden/startup.ndjson").to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read(&bytes);
        }
    }
}
