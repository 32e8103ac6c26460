//! One JSON object a line, the contract for programs: fields may be added, never renamed. Times are integers
//! in nanoseconds on the boot clock. The first line is the header, the last the summary.

mod line;

use std::io::{self, Write};

use schemars::{Schema, SchemaGenerator};

use self::line::{Line, Parts, Step};
use super::header::{Header, write_line};
use super::shared_lines::{FindingLine, MissingLine};
use super::{Export, functions};
use crate::model::blocking::BlockingReport;
use crate::model::{self, Counts, Ending, Init, Phase, Report, StartupTimeline, TimedFunction, findings};

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct Ndjson;

impl Export for Ndjson {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let timeline = &report.timeline;
        let mut line = |line: Line<'_>| write_line(out, &line);
        line(Line::Header(Header::of(&report.subject, timeline.begin)))?;
        timeline.phases.iter().map(phase).try_for_each(&mut line)?;
        until_ready(timeline).into_iter().try_for_each(&mut line)?;
        for (seq, init) in timeline.inits.iter().enumerate() {
            line(init_line(seq, init))?;
            init.functions.iter().map(|timed| function(init, timed)).try_for_each(&mut line)?;
        }
        if let Some(Counts { threads, ps, goroutines }) = timeline.at_main {
            line(Line::AtMain { threads, ps, goroutines })?;
        }
        happenings(timeline, &mut line)?;
        report.missing.iter().try_for_each(|missing| line(Line::Missing(MissingLine::of(missing))))?;
        for loss in &report.losses {
            line(Line::Loss { probe: loss.probe.name(), hits: loss.hits, dropped: loss.dropped })?;
        }
        if let Some(gc) = &report.gc {
            gc.write_ndjson(out)?;
        }
        write_line(out, &summary(report))
    }

    fn running(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        report.write_ndjson(out)
    }
}

/// The schema of its lines.
pub(in crate::export) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Line<'static>>()
}

fn phase(phase: &Phase) -> Line<'_> {
    let step =
        |step: &model::Step| Step { name: step.name, start_ns: step.start, duration_ns: step.duration };
    Line::Phase {
        name: phase.name.name(),
        start_ns: phase.start,
        duration_ns: phase.duration,
        done: phase.done,
        steps: phase.steps.iter().map(step).collect(),
        parts: phase.parts.as_ref().map(Parts::of),
    }
}

/// What `main.main` did until the program was ready.
fn until_ready(timeline: &StartupTimeline) -> Option<Line<'static>> {
    let start_ns = timeline.begin.plus(timeline.to_main?);
    let duration_ns = timeline.ready?.since(start_ns);
    Some(Line::Phase { name: "ready", start_ns, duration_ns, done: true, steps: Vec::new(), parts: None })
}

impl Report {
    /// The line of each init.
    pub(super) fn init_lines(&self) -> io::Result<Vec<serde_json::Value>> {
        let inits = self.timeline.inits.iter().enumerate();
        Ok(inits.map(|(seq, init)| serde_json::to_value(init_line(seq, init))).collect::<Result<_, _>>()?)
    }
}

fn init_line(seq: usize, init: &Init) -> Line<'_> {
    let (file, line) = init.functions.first().map_or((None, None), place);
    Line::Init {
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
        imported_by: init.imported_by.as_deref(),
        allocs: init.heap.map(|heap| heap.allocs),
        bytes: init.heap.map(|heap| heap.bytes),
        file,
        line,
    }
}

fn function<'a>(init: &Init, timed: &'a TimedFunction) -> Line<'a> {
    let (file, line) = place(timed);
    Line::InitFunction {
        package: init.package(),
        function: &timed.function.name,
        file,
        line,
        start_ns: timed.start,
        wall_ns: timed.wall,
    }
}

/// The waits, calls and libraries, and what is to be thought of it all.
fn happenings(
    timeline: &StartupTimeline,
    line: &mut dyn FnMut(Line<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let package = |init: Option<usize>| init.map(|init| timeline.inits[init].package());
    for wait in &timeline.waits {
        line(Line::Wait {
            package: package(wait.init),
            kind: wait.cause.name(),
            syscall: wait.syscall.as_deref(),
            object: wait.object.as_deref(),
            wait_reason: wait.reason,
            start_ns: wait.start,
            duration_ns: wait.duration,
            goid: wait.goid,
            stack: functions(&wait.stack),
        })?;
    }
    for call in &timeline.calls {
        line(Line::Call {
            package: package(call.init),
            syscall: call.syscall,
            object: &call.object,
            result: call.result,
            returned_ns: call.time,
        })?;
    }
    for library in &timeline.libraries {
        line(Line::Library {
            path: &library.path,
            package: package(library.init),
            start_ns: library.start,
            duration_ns: library.duration,
            bytes: library.bytes,
        })?;
    }
    findings(timeline).iter().try_for_each(|finding| line(Line::Finding(FindingLine::of_start(finding))))
}

fn place(timed: &TimedFunction) -> (Option<&str>, Option<u32>) {
    let function = &timed.function;
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
        target_overhead_ns: report.overhead,
    }
}
