//! One JSON object a line, the contract for programs: fields may be added, never renamed. Times are integers
//! in nanoseconds on the boot clock. The first line is the header, the last the summary.

use std::io::{self, Write};

use serde::Serialize;

use super::Export;
use crate::model::{Cause, Counts, Ending, Report, TimedFunction, findings};
use crate::target::gobin::Linking;
use crate::units::Nanos;

/// The contract's version: it changes when a field is renamed or changes its meaning.
pub(super) const SCHEMA: u32 = 1;

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct Ndjson;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Header {
        schema: u32,
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
    },
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
        allocs: Option<u64>,
        bytes: Option<u64>,
        file: Option<&'a str>,
        line: Option<u32>,
    },
    InitFunction {
        package: String,
        function: &'a str,
        file: Option<&'a str>,
        line: Option<u32>,
        start_ns: Option<Nanos>,
        wall_ns: Option<Nanos>,
    },
    AtMain {
        threads: u64,
        ps: Option<u64>,
        goroutines: u64,
    },
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
    Call {
        package: Option<String>,
        syscall: &'a str,
        object: &'a str,
        result: i64,
        returned_ns: Nanos,
    },
    Library {
        path: &'a str,
        package: Option<String>,
        start_ns: Nanos,
        duration_ns: Nanos,
        bytes: u64,
    },
    Finding {
        id: &'static str,
        package: Option<&'a str>,
        function: Option<&'a str>,
        file: Option<&'a str>,
        line: Option<u32>,
        duration_ns: Nanos,
        text: &'a str,
        advice: &'static str,
    },
    Missing {
        probe: &'static str,
        function: &'a str,
        reason: &'a str,
    },
    Loss {
        probe: &'static str,
        hits: u64,
        dropped: u64,
    },
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
        target_overhead_ns: Option<Nanos>,
    },
}

#[derive(Serialize)]
struct Step {
    name: &'static str,
    start_ns: Nanos,
    duration_ns: Nanos,
}

/// Where the time of a phase or an init went.
#[derive(Serialize)]
struct Parts {
    on_cpu_ns: Nanos,
    runnable_ns: Nanos,
    blocked_ns: Nanos,
    remainder_ns: Nanos,
    blocked: Blocked,
    syscalls: u64,
    page_faults: Option<u64>,
    major_faults: Option<u64>,
}

/// What `blocked_ns` consists of.
#[derive(Serialize)]
struct Blocked {
    file_ns: Nanos,
    network_ns: Nanos,
    dns_ns: Nanos,
    futex_ns: Nanos,
    sleep_ns: Nanos,
    page_fault_ns: Nanos,
    goroutine_ns: Nanos,
    gc_ns: Nanos,
    other_ns: Nanos,
}

impl Parts {
    fn of(parts: &crate::model::Parts) -> Self {
        let by = |cause| parts.blocked_by(cause);
        Self {
            on_cpu_ns: parts.on_cpu,
            runnable_ns: parts.runnable,
            blocked_ns: parts.blocked(),
            remainder_ns: parts.remainder,
            blocked: Blocked {
                file_ns: by(Cause::File),
                network_ns: by(Cause::Network),
                dns_ns: by(Cause::Dns),
                futex_ns: by(Cause::Futex),
                sleep_ns: by(Cause::Sleep),
                page_fault_ns: by(Cause::PageFault),
                goroutine_ns: by(Cause::Goroutine),
                gc_ns: by(Cause::Gc),
                other_ns: by(Cause::Other),
            },
            syscalls: parts.syscalls,
            page_faults: parts.minor_faults.zip(parts.major_faults).map(|(minor, major)| minor + major),
            major_faults: parts.major_faults,
        }
    }
}

impl Export for Ndjson {
    fn write(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let subject = &report.subject;
        line(
            out,
            &Line::Header {
                schema: SCHEMA,
                gotrace: env!("CARGO_PKG_VERSION"),
                pid: subject.pid,
                ppid: subject.parent,
                watched: subject.watched.then_some(true),
                exe: subject.exe.to_string_lossy().into_owned(),
                go_version: &subject.go_version,
                module: subject.module.as_deref(),
                start_ns: report.timeline.begin,
                wall_clock_unix_ns: subject.wall_clock_unix_ns,
                kernel: &subject.kernel,
                linking: &subject.linking,
                run: subject.repetition.map(|repetition| repetition.run),
                runs: subject.repetition.map(|repetition| repetition.of),
            },
        )?;
        for phase in &report.timeline.phases {
            let step = |step: &crate::model::Step| Step {
                name: step.name,
                start_ns: step.start,
                duration_ns: step.duration,
            };
            line(
                out,
                &Line::Phase {
                    name: phase.name.name(),
                    start_ns: phase.start,
                    duration_ns: phase.duration,
                    done: phase.done,
                    steps: phase.steps.iter().map(step).collect(),
                    parts: phase.parts.as_ref().map(Parts::of),
                },
            )?;
        }
        // What main.main did until the program was ready.
        if let (Some(ready), Some(to_main)) = (report.timeline.ready, report.timeline.to_main) {
            let start_ns = Nanos(report.timeline.begin.0 + to_main.0);
            let duration_ns = ready.since(start_ns);
            line(
                out,
                &Line::Phase {
                    name: "ready",
                    start_ns,
                    duration_ns,
                    done: true,
                    steps: Vec::new(),
                    parts: None,
                },
            )?;
        }
        for (seq, init) in report.timeline.inits.iter().enumerate() {
            line(
                out,
                &Line::Init {
                    seq,
                    package: init.package(),
                    start_ns: init.start,
                    wall_ns: init.wall,
                    done: init.done,
                    resolved: !init.is_unresolved(),
                    parts: init.parts.as_ref().map(Parts::of),
                    goroutines_started: init.started.map(|started| started.total),
                    goroutines_at_main: init.started.map(|started| started.at_main),
                    module: init.module.as_deref(),
                    allocs: init.heap.map(|heap| heap.allocs),
                    bytes: init.heap.map(|heap| heap.bytes),
                    file: place(init.functions.first()).0,
                    line: place(init.functions.first()).1,
                },
            )?;
            for timed in &init.functions {
                let (file, at) = place(Some(timed));
                line(
                    out,
                    &Line::InitFunction {
                        package: init.package(),
                        function: &timed.function.name,
                        file,
                        line: at,
                        start_ns: timed.start,
                        wall_ns: timed.wall,
                    },
                )?;
            }
        }
        if let Some(Counts { threads, ps, goroutines }) = report.timeline.at_main {
            line(out, &Line::AtMain { threads, ps, goroutines })?;
        }
        let package = |init: Option<usize>| init.map(|init| report.timeline.inits[init].package());
        for wait in &report.timeline.waits {
            line(
                out,
                &Line::Wait {
                    package: package(wait.init),
                    kind: wait.cause.name(),
                    syscall: wait.syscall.as_deref(),
                    object: wait.object.as_deref(),
                    wait_reason: wait.reason,
                    start_ns: wait.start,
                    duration_ns: wait.duration,
                    goid: wait.goid,
                    stack: wait.stack.iter().map(ToString::to_string).collect(),
                },
            )?;
        }
        for call in &report.timeline.calls {
            line(
                out,
                &Line::Call {
                    package: package(call.init),
                    syscall: call.syscall,
                    object: &call.object,
                    result: call.result,
                    returned_ns: call.time,
                },
            )?;
        }
        for library in &report.timeline.libraries {
            line(
                out,
                &Line::Library {
                    path: &library.path,
                    package: package(library.init),
                    start_ns: library.start,
                    duration_ns: library.duration,
                    bytes: library.bytes,
                },
            )?;
        }
        for finding in &findings(&report.timeline) {
            let place = finding.place.as_ref();
            line(
                out,
                &Line::Finding {
                    id: finding.id,
                    package: finding.package.as_deref(),
                    function: place.map(|frame| frame.function.as_str()),
                    file: place.and_then(|frame| frame.file.as_deref()),
                    line: place.map(|frame| frame.line),
                    duration_ns: finding.duration,
                    text: &finding.text,
                    advice: finding.advice,
                },
            )?;
        }
        for missing in &report.missing {
            let (function, reason) = (&missing.function, &missing.reason);
            line(out, &Line::Missing { probe: missing.probe, function, reason })?;
        }
        for loss in &report.losses {
            line(out, &Line::Loss { probe: loss.probe.name(), hits: loss.hits, dropped: loss.dropped })?;
        }
        line(out, &summary(report))
    }
}

fn place(timed: Option<&TimedFunction>) -> (Option<&str>, Option<u32>) {
    let Some(TimedFunction { function, .. }) = timed else { return (None, None) };
    (function.file.as_deref(), function.file.as_ref().map(|_| function.line))
}

fn summary(report: &Report) -> Line<'_> {
    let totals = report.totals();
    let (ended, exit_code, signal, replaced_by) = match &report.ending {
        Ending::Running => ("running", None, None, None),
        Ending::Exited(code) => ("exited", Some(*code), None, None),
        Ending::Killed(signal) => ("killed", None, Some(*signal), None),
        Ending::Gone => ("gone", None, None, None),
        Ending::Replaced(by) => ("replaced", None, None, Some(by.as_str())),
    };
    Line::Summary {
        to_main_ns: report.timeline.to_main,
        to_ready_ns: report.timeline.to_ready(),
        not_ready: report.awaited.as_deref(),
        ended,
        exit_code,
        signal,
        replaced_by,
        inits: report.timeline.inits.len(),
        events: totals.hits - totals.dropped.min(totals.hits),
        dropped: totals.dropped,
        undecodable: totals.undecodable,
        unresolved: totals.unresolved,
        complete: report.is_complete(),
        target_overhead_ns: None,
    }
}

fn line(out: &mut dyn Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
