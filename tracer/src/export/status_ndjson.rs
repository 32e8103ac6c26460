//! The status of a program that runs already, one JSON object a line: the same contract as the report of a run.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::functions;
use super::header::{Header, write_line};
use crate::model::{MainView, Stage, StatusReport};
use crate::units::Nanos;

/// A line of attach --now.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "NowLine")]
enum Line<'a> {
    /// Whose report it is: the first line.
    Header(Header<'a>),
    /// How far the start is.
    StartupStatus {
        state: &'static str,
        stuck: bool,
        stopped: bool,
        package: Option<&'a str>,
        seq: Option<usize>,
        begun: Option<bool>,
        inits: usize,
        inits_done: usize,
        function: Option<&'a str>,
        file: Option<&'a str>,
        line: Option<u32>,
        in_main: Option<bool>,
        at_ns: Nanos,
        age_ns: Nanos,
        cpu_ns: Option<Nanos>,
        user_ns: Nanos,
        system_ns: Nanos,
        page_faults: u64,
        major_faults: u64,
    },
    /// Where the main goroutine is, and what it waits for.
    BlockedNow {
        goid: u64,
        state: &'static str,
        kind: Option<&'static str>,
        wait_reason: Option<&'static str>,
        tid: Option<u32>,
        syscall: Option<&'static str>,
        syscall_number: Option<u64>,
        arguments: Option<[u64; 6]>,
        wchan: Option<&'a str>,
        fd: Option<u64>,
        object: Option<&'a str>,
        since_ns: Option<Nanos>,
        for_ns: Option<Nanos>,
        evidence: Option<&'static str>,
        at_most_ns: Nanos,
        stack: Vec<String>,
        stack_whole: bool,
    },
    /// What could not be seen, and why.
    Missing { probe: &'static str, function: &'static str, reason: String },
    /// The last line.
    Summary {
        to_main_ns: Option<Nanos>,
        to_ready_ns: Option<Nanos>,
        ended: &'static str,
        events: u64,
        dropped: u64,
        complete: bool,
        target_overhead_ns: Option<Nanos>,
    },
}

/// The schema of its lines.
pub(in crate::export) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Line<'static>>()
}

impl StatusReport {
    /// Writes the whole report.
    ///
    /// # Errors
    /// Only those of the writer.
    pub(super) fn write_ndjson(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = |line: &Line<'_>| write_line(out, line);
        line(&Line::Header(Header::of(&self.subject, self.began)))?;
        line(&self.status_line())?;
        if let Some(main) = self.status.main_view() {
            line(&self.blocked_line(main))?;
        }
        if let Err(reason) = &self.status.main {
            line(&Line::Missing {
                probe: "goroutine_1",
                function: "runtime.main",
                reason: reason.to_string(),
            })?;
        }
        line(&Line::Summary {
            to_main_ns: None,
            to_ready_ns: None,
            ended: "running",
            events: 0,
            dropped: 0,
            complete: self.status.main.is_ok(),
            target_overhead_ns: None,
        })
    }

    fn status_line(&self) -> Line<'_> {
        let status = &self.status;
        let (state, package, seq, begun) = match &status.stage {
            Stage::BeforeInit => ("before_init", None, None, None),
            Stage::InInit { seq, package, begun } => {
                ("in_init", Some(package.as_str()), Some(*seq), Some(*begun))
            }
            Stage::InitOver => ("init_over", None, None, None),
        };
        let frame = status.init_function.as_ref();
        Line::StartupStatus {
            state,
            stuck: status.is_stuck(),
            stopped: status.stopped,
            package,
            seq,
            begun,
            inits: status.inits,
            inits_done: status.done,
            function: frame.map(|frame| &*frame.function),
            file: frame.and_then(|frame| frame.file.as_deref()),
            line: frame.map(|frame| frame.line).filter(|line| *line != 0),
            in_main: status.in_main,
            at_ns: self.at,
            age_ns: self.age(),
            cpu_ns: self.usage.cpu,
            user_ns: self.usage.user,
            system_ns: self.usage.system,
            page_faults: self.usage.minor_faults + self.usage.major_faults,
            major_faults: self.usage.major_faults,
        }
    }

    fn blocked_line<'a>(&'a self, main: &'a MainView) -> Line<'a> {
        let state = &main.state;
        let call = main.call();
        let stays = self.stays_for();
        Line::BlockedNow {
            goid: 1,
            state: state.goroutine.status.name(),
            kind: main.kind(),
            wait_reason: state.wait_reason,
            tid: state.thread.as_ref().map(|thread| thread.tid),
            syscall: call.and_then(|call| call.name()),
            syscall_number: call.map(|call| call.number),
            arguments: call.map(|call| call.arguments),
            wchan: state.thread.as_ref().and_then(|thread| thread.wchan.as_deref()),
            fd: state.object.as_ref().and_then(|object| object.fd),
            object: state.object.as_ref().and_then(|object| object.object.as_deref()),
            since_ns: stays.map(|stays| self.at.since(stays)),
            for_ns: stays,
            evidence: main.stays.map(|stays| stays.evidence.name()),
            at_most_ns: self.age(),
            stack: functions(&main.stack.frames),
            stack_whole: main.stack.whole,
        }
    }
}
