//! A start as a trace: the start itself, its phases, and the inits that took longest.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use sha2::{Digest as _, Sha256};

use super::attributes::{number, text, texts, time, truth};
use super::resource::{Common, scope};
use super::start::Start;
use crate::model::{InitName, PhaseName};
use crate::node::figures::Outcome;
use crate::node::workload::label;
use crate::units::Nanos;

/// The root's name.
const ROOT: &str = "startup";

/// One request for several starts.
pub(super) fn request(starts: &[Start], common: &Common, boot: &str) -> ExportTraceServiceRequest {
    let of = |start: &Start| ResourceSpans {
        resource: Some(common.resource(start)),
        scope_spans: vec![ScopeSpans {
            scope: Some(scope()),
            spans: spans(start, boot),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: starts.iter().map(of).collect() }
}

/// Makes the spans of one start.
struct Trace<'a> {
    start: &'a Start,
    id: Vec<u8>,
    spans: Vec<Span>,
}

/// The spans of a start on the machine that has this boot's id, the root first.
fn spans(start: &Start, boot: &str) -> Vec<Span> {
    let timeline = &start.timeline;
    let mut trace = Trace { start, id: trace_id(boot, start), spans: Vec::new() };
    trace.add(None, ROOT, timeline.begin, start.end(), root_attributes(start));
    if start.outcome == Outcome::Ended {
        let message = "the process ended before main.main".to_owned();
        trace.spans[0].status = Some(Status { message, code: StatusCode::Error.into() });
    }
    for phase in &timeline.phases {
        let end = phase.start.plus(phase.duration);
        trace.add(Some(0), phase.name.name(), phase.start, end, unfinished(phase.done));
    }
    if let (Some(ready), Some(to_main)) = (start.ready, timeline.to_main) {
        let main = timeline.begin.plus(to_main);
        trace.add(Some(0), PhaseName::Main.name(), main, ready.max(main), Vec::new());
    }
    for init in &timeline.inits {
        let within = timeline
            .phases
            .iter()
            .rposition(|phase| init.start >= phase.start && init.start < phase.start.plus(phase.duration));
        let package = init.package();
        let mut attributes = vec![text("gotrace.package", package.clone())];
        attributes.extend(init.module.as_deref().map(|module| text("gotrace.package.module", label(module))));
        attributes.extend(unfinished(init.done));
        let parent = within.map_or(0, |phase| phase + 1);
        trace.add(
            Some(parent),
            &format!("init {package}"),
            init.start,
            init.start.plus(init.wall),
            attributes,
        );
    }
    trace.spans
}

impl Trace<'_> {
    fn add(
        &mut self,
        parent: Option<usize>,
        name: &str,
        start: Nanos,
        end: Nanos,
        attributes: Vec<KeyValue>,
    ) {
        let index = self.spans.len() as u64;
        let parent = parent.and_then(|parent| self.spans.get(parent));
        let span = Span {
            trace_id: self.id.clone(),
            span_id: digest(&[&self.id, &index.to_le_bytes()], 8),
            parent_span_id: parent.map(|parent| parent.span_id.clone()).unwrap_or_default(),
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: self.start.unix_ns(start),
            end_time_unix_nano: self.start.unix_ns(end),
            attributes,
            ..Span::default()
        };
        self.spans.push(span);
    }
}

impl Start {
    /// When it was ready; else when it came to `main.main`, or the process ended or became another.
    fn end(&self) -> Nanos {
        let main = self.timeline.to_main.map(|to_main| self.timeline.begin.plus(to_main));
        self.ready.max(main).or(self.timeline.ended).unwrap_or(self.timeline.begin)
    }

    /// A moment of it, on the wall clock.
    fn unix_ns(&self, moment: Nanos) -> u64 {
        self.begin_unix_ns.saturating_add(moment.since(self.timeline.begin).0)
    }
}

fn root_attributes(start: &Start) -> Vec<KeyValue> {
    let timeline = &start.timeline;
    let mut attributes = vec![
        text("gotrace.outcome", start.outcome.name()),
        truth("gotrace.joined_late", start.joined.is_some()),
    ];
    attributes
        .extend(start.joined.map(|joined| time("gotrace.joined_late_ns", joined.since(timeline.begin))));
    attributes.extend(timeline.to_main.map(|to_main| time("gotrace.to_main_ns", to_main)));
    let to_ready = start.ready.map(|ready| ready.since(timeline.begin));
    attributes.extend(to_ready.map(|to_ready| time("gotrace.to_ready_ns", to_ready)));
    if start.left_out.0 > 0 {
        attributes.push(number("gotrace.inits_left_out", start.left_out.0));
        attributes.push(time("gotrace.inits_left_out_ns", start.left_out.1));
    }
    // What nobody saw may have been slower, and there may have been more of it.
    if start.joined.is_none() {
        attributes.push(number("gotrace.inits", timeline.inits.len() as u64 + start.left_out.0));
        let named = timeline.inits.iter().filter(|init| matches!(init.name, InitName::Package(_)));
        if let Some(slowest) = named.max_by_key(|init| init.wall) {
            attributes.push(text("gotrace.slowest_init", slowest.package()));
            attributes.push(time("gotrace.slowest_init_ns", slowest.wall));
        }
    }
    if !timeline.unmarked.is_empty() {
        let unmarked = timeline.unmarked.iter().map(|probe| probe.name().to_owned());
        attributes.push(texts("gotrace.unmarked", unmarked));
    }
    attributes.extend(timeline.replaced_by.as_deref().map(|name| text("gotrace.replaced_by", label(name))));
    attributes.extend(start.lost.map(|lost| number("gotrace.records_lost", lost)));
    attributes
}

/// What is over has no word on that.
fn unfinished(done: bool) -> Vec<KeyValue> {
    if done { Vec::new() } else { vec![truth("gotrace.done", false)] }
}

/// No other start has it: at one moment since the machine was booted a process number is one process's.
fn trace_id(boot: &str, start: &Start) -> Vec<u8> {
    digest(&[boot.as_bytes(), &start.pid.to_le_bytes(), &start.timeline.begin.0.to_le_bytes()], 16)
}

fn digest(parts: &[&[u8]], bytes: usize) -> Vec<u8> {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize()[..bytes].to_vec()
}

#[cfg(test)]
#[path = "spans_tests.rs"]
mod tests;
