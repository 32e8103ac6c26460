use std::collections::HashSet;

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;
use crate::model::{Init, Phase, StartupTimeline};

const PHASES: [PhaseName; 4] =
    [PhaseName::DynamicLink, PhaseName::RuntimeBootstrap, PhaseName::RuntimeInit, PhaseName::PackageInit];

/// Phases of 100 ns each from 1000 on, with an init in each of the last two.
fn timeline() -> StartupTimeline {
    let phase = |(index, name): (usize, &PhaseName)| Phase {
        name: *name,
        start: Nanos(1000 + 100 * index as u64),
        duration: Nanos(100),
        done: true,
        steps: Vec::new(),
        parts: None,
    };
    let init =
        |name: &str, start, wall| Init::over(InitName::Package(name.to_owned()), Nanos(start), Nanos(wall));
    StartupTimeline {
        begin: Nanos(1000),
        phases: PHASES.iter().enumerate().map(phase).collect(),
        inits: vec![init("runtime", 1200, 100), init("net/http", 1310, 40)],
        to_main: Some(Nanos(400)),
        ..StartupTimeline::default()
    }
}

fn start(outcome: Outcome, timeline: StartupTimeline) -> Start {
    Start { outcome, begin_unix_ns: 5_000_000, ..Start::of_nothing(timeline) }
}

/// What a span says, its times from the begin of the start on.
fn told(spans: &[Span]) -> Vec<(String, String, u64, u64)> {
    let parent = |span: &Span| {
        let is_it = |other: &&Span| other.span_id == span.parent_span_id;
        spans.iter().find(is_it).map(|parent| parent.name.clone()).unwrap_or_default()
    };
    let of = |span: &Span| {
        let times = [span.start_time_unix_nano, span.end_time_unix_nano].map(|time| time - 5_000_000);
        (span.name.clone(), parent(span), times[0], times[1])
    };
    spans.iter().map(of).collect()
}

fn attribute(span: &Span, key: &str) -> Option<Value> {
    span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

fn spans_of(start: &Start) -> Vec<Span> {
    spans(start, "boot")
}

#[test]
fn phases_are_in_the_start_and_inits_in_their_phases() {
    let spans = spans_of(&start(Outcome::Main, timeline()));
    let expected = [
        ("startup", "", 0, 400),
        ("dynamic_link", "startup", 0, 100),
        ("runtime_bootstrap", "startup", 100, 200),
        ("runtime_init", "startup", 200, 300),
        ("package_init", "startup", 300, 400),
        ("init runtime", "runtime_init", 200, 300),
        ("init net/http", "package_init", 310, 350),
    ];
    let expected =
        expected.map(|(name, parent, start, end)| (name.to_owned(), parent.to_owned(), start, end));
    assert_eq!(told(&spans), expected);
    assert_eq!(attribute(&spans[0], "gotrace.outcome"), Some(Value::StringValue("main".to_owned())));
    assert_eq!(attribute(&spans[0], "gotrace.to_main_ns"), Some(Value::IntValue(400)));
    assert_eq!(attribute(&spans[0], "gotrace.slowest_init"), Some(Value::StringValue("runtime".to_owned())));
    for none in
        ["gotrace.to_ready_ns", "gotrace.inits_left_out", "gotrace.unmarked", "gotrace.joined_late_ns"]
    {
        assert_eq!(attribute(&spans[0], none), None, "{none}");
    }
    assert_eq!(spans[0].status, None);
}

#[test]
fn ids_are_of_the_start_and_of_no_other() {
    let one = spans_of(&start(Outcome::Main, timeline()));
    assert!(one.iter().all(|span| span.trace_id == one[0].trace_id && span.trace_id.len() == 16));
    let ids: HashSet<_> = one.iter().map(|span| span.span_id.clone()).collect();
    assert!(ids.len() == one.len() && ids.iter().all(|id| id.len() == 8));
    assert_eq!(spans_of(&start(Outcome::Main, timeline()))[0].trace_id, one[0].trace_id);
    let other_pid = Start { pid: 8, ..start(Outcome::Main, timeline()) };
    let later = start(Outcome::Main, StartupTimeline { begin: Nanos(1001), ..timeline() });
    let others =
        [spans_of(&other_pid), spans_of(&later), spans(&start(Outcome::Main, timeline()), "another boot")];
    let all: HashSet<_> = others.iter().map(|spans| spans[0].trace_id.clone()).collect();
    assert!(all.len() == 3 && !all.contains(&one[0].trace_id));
}

#[test]
fn a_start_lasts_until_it_is_ready_if_that_is_known() {
    let spans = spans_of(&Start { ready: Some(Nanos(1900)), ..start(Outcome::Main, timeline()) });
    let all = told(&spans);
    assert_eq!(all[0], ("startup".to_owned(), String::new(), 0, 900));
    assert_eq!(all[5], ("main".to_owned(), "startup".to_owned(), 400, 900));
    assert_eq!(all[7].1, "package_init");
    assert_eq!(attribute(&spans[0], "gotrace.to_ready_ns"), Some(Value::IntValue(900)));
    assert_eq!(attribute(&spans[0], "gotrace.to_main_ns"), Some(Value::IntValue(400)));
}

#[test]
fn a_start_that_came_to_nothing_says_so() {
    let mut timeline = timeline();
    timeline.to_main = None;
    timeline.ended = Some(Nanos(1350));
    timeline.phases[3].duration = Nanos(50);
    timeline.phases[3].done = false;
    let spans = spans_of(&start(Outcome::Ended, timeline));
    assert_eq!(told(&spans)[0].3, 350);
    assert_eq!(spans[0].status.as_ref().map(|status| status.code), Some(StatusCode::Error.into()));
    assert_eq!(attribute(&spans[4], "gotrace.done"), Some(Value::BoolValue(false)));
    assert_eq!(attribute(&spans[0], "gotrace.to_main_ns"), None);
}

#[test]
fn what_is_left_out_is_counted() {
    let mut timeline = timeline();
    let init = |index: u64| Init::over(InitName::Package(index.to_string()), Nanos(1300 + index), Nanos(1));
    timeline.inits = (0..40).map(init).collect();
    let spans = spans_of(&start(Outcome::Main, timeline));
    assert_eq!(spans.len(), 5 + 32);
    assert_eq!(attribute(&spans[0], "gotrace.inits"), Some(Value::IntValue(40)));
    assert_eq!(attribute(&spans[0], "gotrace.inits_left_out"), Some(Value::IntValue(8)));
    assert_eq!(attribute(&spans[0], "gotrace.inits_left_out_ns"), Some(Value::IntValue(8)));
}

#[test]
fn of_a_start_that_was_joined_late_nothing_is_the_slowest() {
    let spans = spans_of(&Start { joined: Some(Nanos(1150)), ..start(Outcome::Main, timeline()) });
    assert_eq!(attribute(&spans[0], "gotrace.joined_late"), Some(Value::BoolValue(true)));
    assert_eq!(attribute(&spans[0], "gotrace.joined_late_ns"), Some(Value::IntValue(150)));
    for none in ["gotrace.inits", "gotrace.slowest_init", "gotrace.slowest_init_ns"] {
        assert_eq!(attribute(&spans[0], none), None, "{none}");
    }
}
