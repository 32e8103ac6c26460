//! For <https://www.speedscope.app>, in its own format: <https://www.speedscope.app/file-format-schema.json>. A start
//! is a profile in the order of time; of a running program there is one of its blocked time, one of its samples, and one each
//! of parked goroutines and of mark assists where these were looked at.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use regex::Regex;
use serde::Serialize;

use super::blocking_flame::label;
use super::flamegraph::Weight;
use super::startup_flame::frame as title;
use super::startup_spans::{Level, stretches};
use super::{BlockingFlame, Export, FlameOf, View, printable};
use crate::model::blocking::BlockingReport;
use crate::model::{Report, Subject};
use crate::target::gobin::Frame;

/// The format.
pub(super) struct Speedscope(pub(super) View);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: String,
    active_profile_index: usize,
    profiles: Vec<Profile>,
    shared: Shared,
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<SharedFrame>,
}

#[derive(Serialize)]
struct SharedFrame {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
enum Profile {
    Evented { name: String, unit: Unit, start_value: u64, end_value: u64, events: Vec<Event> },
    Sampled(Sampled),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled {
    name: String,
    unit: Unit,
    start_value: u64,
    end_value: u64,
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Nanoseconds,
    /// They are counted.
    None,
}

/// A frame is opened or closed, so long after the beginning.
#[derive(Serialize)]
struct Event {
    #[serde(rename = "type")]
    kind: Kind,
    frame: usize,
    at: u64,
}

#[derive(Serialize)]
enum Kind {
    O,
    C,
}

/// All frames so far, each once.
#[derive(Default)]
struct Frames {
    all: Vec<Frame>,
    /// Where those of a function are.
    places: HashMap<Arc<str>, Vec<usize>>,
}

impl Frames {
    fn place(&mut self, frame: &Frame) -> usize {
        let is_it = |known: &Frame| (known.line, &known.file) == (frame.line, &frame.file);
        let of_function = self.places.get(&*frame.function).map_or(&[][..], Vec::as_slice);
        if let Some(place) = of_function.iter().find(|place| is_it(&self.all[**place])) {
            return *place;
        }
        let place = self.all.len();
        self.all.push(frame.clone());
        self.places.entry(Arc::clone(&frame.function)).or_default().push(place);
        place
    }
}

impl SharedFrame {
    fn of(frame: &Frame) -> Self {
        Self {
            name: printable(&frame.function),
            file: frame.file.as_deref().map(printable),
            line: frame.file.as_ref().and(Some(frame.line)).filter(|line| *line > 0),
        }
    }
}

impl Export for Speedscope {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let name = format!("the start of {}", name(&report.subject));
        let mut frames = Frames::default();
        let profile = started(report, name.clone(), self.0.focus.as_ref(), &mut frames);
        write(name, 0, vec![profile], &frames, out)
    }

    fn running(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let subject = &report.subject;
        let name = format!("{} ({}), {}", name(subject), subject.pid, report.span().for_people());
        let mut frames = Frames::default();
        let mut shown = vec![FlameOf::Blocked, FlameOf::OnCpu];
        shown.extend(report.parking.is_some().then_some(FlameOf::Parked));
        shown.extend(report.gc.as_ref().filter(|gc| !gc.assists.is_empty()).map(|_| FlameOf::Assists));
        let active = shown.iter().position(|of| *of == self.0.of).unwrap_or(0);
        let profile = |of: FlameOf| {
            let View { by, focus, .. } = self.0.clone();
            Profile::Sampled(sampled(report, &BlockingFlame { of, by, focus }, &name, &mut frames))
        };
        let profiles = shown.into_iter().map(profile).collect();
        write(name, active, profiles, &frames, out)
    }
}

fn write(
    name: String,
    active_profile_index: usize,
    profiles: Vec<Profile>,
    frames: &Frames,
    out: &mut dyn Write,
) -> io::Result<()> {
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: concat!("gotrace@", env!("CARGO_PKG_VERSION")),
        name,
        active_profile_index,
        profiles,
        shared: Shared { frames: frames.all.iter().map(SharedFrame::of).collect() },
    };
    serde_json::to_writer(&mut *out, &file)?;
    out.write_all(b"\n")
}

fn name(subject: &Subject) -> String {
    let exe = &subject.exe;
    printable(&exe.file_name().unwrap_or(exe.as_os_str()).to_string_lossy())
}

/// Frames that are opened and closed in the order of time.
fn started(report: &Report, name: String, focus: Option<&Regex>, frames: &mut Frames) -> Profile {
    let mut open = Open::default();
    let (mut phase, mut at) = (None, 0);
    stretches(report, |path, duration| {
        // Between phases there may be time of which it is not known what it was.
        if let Some(Level::Phase(name)) = path.first()
            && phase.replace(*name) != Some(*name)
            && let Some(phase) = report.timeline.phases.iter().find(|phase| phase.name == *name)
        {
            at = phase.start.since(report.timeline.begin).0;
        }
        let from = at;
        at = at.saturating_add(duration.0);
        let is_in = |focus: &Regex| path.iter().any(|level| focus.is_match(&title(level)));
        if duration.0 > 0 && focus.is_none_or(is_in) {
            open.go_to(path, from, at, frames);
        }
    });
    let end_value = open.until;
    open.go_to(&[], end_value, end_value, frames);
    Profile::Evented { name, unit: Unit::Nanoseconds, start_value: 0, end_value, events: open.events }
}

/// What is open, and since when nothing has changed.
#[derive(Default)]
struct Open<'a> {
    path: Vec<(Level<'a>, usize)>,
    until: u64,
    events: Vec<Event>,
}

impl<'a> Open<'a> {
    /// What is on the path lasts from then until then. What stays open does so only when nothing was between.
    fn go_to(&mut self, path: &[Level<'a>], from: u64, until: u64, frames: &mut Frames) {
        let both = self.path.iter().zip(path);
        let alike = both.take_while(|((open, _), level)| from == self.until && open.is_same(level)).count();
        let closed = self.path.drain(alike..).rev();
        let at = self.until;
        self.events.extend(closed.map(|(_, frame)| Event { kind: Kind::C, frame, at }));
        for level in &path[alike..] {
            let frame = frames.place(&frame_of(level));
            self.events.push(Event { kind: Kind::O, frame, at: from });
            self.path.push((*level, frame));
        }
        self.until = until;
    }
}

fn frame_of(level: &Level<'_>) -> Frame {
    match level {
        Level::Function(function) => function.begin(),
        Level::Call(frame) => (*frame).clone(),
        _ => label(title(level)),
    }
}

/// Stacks and their weights, each stack once.
fn sampled(report: &BlockingReport, flame: &BlockingFlame, name: &str, frames: &mut Frames) -> Sampled {
    let (what, unit) = match flame.of.title() {
        (what, Weight::Time) => (what, Unit::Nanoseconds),
        (what, Weight::Samples) => (what, Unit::None),
    };
    let mut places: HashMap<Vec<usize>, usize> = HashMap::new();
    let mut samples: Vec<Vec<usize>> = Vec::new();
    let mut weights: Vec<u64> = Vec::new();
    flame.stacks(report, &mut |stack, weight| {
        let is_in = |focus: &Regex| stack.iter().any(|frame| focus.is_match(&frame.function));
        if weight == 0 || !flame.focus.as_ref().is_none_or(is_in) {
            return;
        }
        let stack: Vec<usize> = stack.iter().map(|frame| frames.place(frame)).collect();
        if let Some(place) = places.get(&stack) {
            weights[*place] = weights[*place].saturating_add(weight);
        } else {
            places.insert(stack.clone(), samples.len());
            samples.push(stack);
            weights.push(weight);
        }
    });
    let end_value = weights.iter().fold(0, |sum: u64, weight| sum.saturating_add(*weight));
    Sampled { name: format!("{name}: {what}"), unit, start_value: 0, end_value, samples, weights }
}

#[cfg(test)]
#[path = "speedscope_tests.rs"]
mod tests;
