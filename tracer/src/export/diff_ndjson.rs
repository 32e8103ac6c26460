//! Two programs' startups side by side, one JSON object a line, in the contract of [`super::Ndjson`]: a
//! `header` with `"report":"diff"`, a line for each figure of either side (`change`, `added`, `removed`,
//! `unfinished`), `moved` for inits in another order, and a `summary`. Times are integers in nanoseconds.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::Side;
use super::header::write_line;
use crate::event::recorded::SCHEMA;
use crate::model::diff::{Change, Comparison, Measured, Verdict};
use crate::model::{Program, Spread, series};
use crate::units::Nanos;

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct DiffNdjson;

/// A line of diff --json.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "DiffLine")]
enum Line<'a> {
    /// What is compared: the first line.
    Header { schema: u64, report: &'static str, gotrace: &'static str, a: Input<'a>, b: Input<'a> },
    /// A figure that both have.
    Change {
        #[serde(flatten)]
        figure: Figure<'a>,
        verdict: &'static str,
        difference_ns: i64,
        noise_ns: Nanos,
        basis: &'static str,
        a: Statistics,
        b: Statistics,
        parts: Vec<Part>,
    },
    /// A figure that only B has.
    Added {
        #[serde(flatten)]
        figure: Figure<'a>,
        b: Statistics,
    },
    /// A figure that only A has.
    Removed {
        #[serde(flatten)]
        figure: Figure<'a>,
        a: Statistics,
    },
    /// A figure that came to its end on one side only, or on none.
    Unfinished {
        #[serde(flatten)]
        figure: Figure<'a>,
        a: Statistics,
        b: Statistics,
    },
    /// An init that ran in another order.
    Moved { package: &'a str, nth: u32, a_seq: usize, b_seq: usize },
    /// The last line.
    Summary {
        slower: usize,
        faster: usize,
        same: usize,
        added: usize,
        removed: usize,
        unfinished: usize,
        moved: usize,
    },
}

#[derive(Serialize, JsonSchema)]
struct Input<'a> {
    file: &'a str,
    runs: usize,
    incomplete: usize,
    cut: usize,
    watched: usize,
    unresolved: u64,
    programs: Vec<ProgramRow<'a>>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ProgramRow<'a> {
    exe: &'a str,
    go_version: &'a str,
    module: Option<&'a str>,
}

/// `kind` is total, phase or init; `name` the figure's among those, for an init its package.
#[derive(Serialize, JsonSchema)]
struct Figure<'a> {
    kind: &'static str,
    name: &'a str,
    nth: u32,
}

#[derive(Serialize, JsonSchema)]
struct Statistics {
    runs: usize,
    unfinished: usize,
    min_ns: Option<Nanos>,
    q1_ns: Option<Nanos>,
    median_ns: Option<Nanos>,
    q3_ns: Option<Nanos>,
    max_ns: Option<Nanos>,
}

#[derive(Serialize, JsonSchema)]
struct Part {
    name: &'static str,
    a_ns: Nanos,
    b_ns: Nanos,
    difference_ns: i64,
}

/// The schema of its lines.
pub(in crate::export) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Line<'static>>()
}

impl DiffNdjson {
    /// Writes the whole comparison.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(self, sides: [Side<'_>; 2], comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
        let [a, b] = sides.map(input);
        let gotrace = env!("CARGO_PKG_VERSION");
        write_line(out, &Line::Header { schema: SCHEMA, report: "diff", gotrace, a, b })?;
        for change in &comparison.changes {
            write_line(out, &change_line(change))?;
        }
        for moved in &comparison.moved {
            let Figure { name: package, nth, .. } = figure(&moved.figure);
            write_line(out, &Line::Moved { package, nth, a_seq: moved.a, b_seq: moved.b })?;
        }
        write_line(out, &summary(comparison))
    }
}

fn change_line(change: &Change) -> Line<'_> {
    let figure = figure(&change.figure);
    let (a, b) = (statistics(&change.a), statistics(&change.b));
    match change.verdict {
        Verdict::Both { difference, noise, basis } => Line::Change {
            figure,
            verdict: match (change.is_beyond_noise(), difference > 0) {
                (false, _) => "same",
                (true, true) => "slower",
                (true, false) => "faster",
            },
            difference_ns: difference,
            noise_ns: noise,
            basis: basis.name(),
            a,
            b,
            parts: change
                .parts
                .iter()
                .map(|part| Part {
                    name: part.name,
                    a_ns: part.a,
                    b_ns: part.b,
                    difference_ns: part.difference(),
                })
                .collect(),
        },
        Verdict::Added => Line::Added { figure, b },
        Verdict::Removed => Line::Removed { figure, a },
        Verdict::Unfinished => Line::Unfinished { figure, a, b },
    }
}

fn summary(comparison: &Comparison) -> Line<'static> {
    let count = |is: &dyn Fn(&Change) -> bool| comparison.changes.iter().filter(|change| is(change)).count();
    let verdict = |verdict: Verdict| count(&|change| change.verdict == verdict);
    let differs =
        |slower: bool| count(&|change| change.is_beyond_noise() && (change.difference() > Some(0)) == slower);
    Line::Summary {
        slower: differs(true),
        faster: differs(false),
        same: count(&|change| change.difference().is_some() && !change.is_beyond_noise()),
        added: verdict(Verdict::Added),
        removed: verdict(Verdict::Removed),
        unfinished: verdict(Verdict::Unfinished),
        moved: comparison.moved.len(),
    }
}

fn input(side: Side<'_>) -> Input<'_> {
    let recording = side.recording;
    Input {
        file: side.file,
        runs: recording.series.runs(),
        incomplete: recording.series.incomplete(),
        cut: recording.cut,
        watched: recording.watched,
        unresolved: recording.series.unresolved(),
        programs: recording.programs.iter().map(program).collect(),
    }
}

pub(super) fn program(program: &Program) -> ProgramRow<'_> {
    let Program { exe, go_version, module } = program;
    ProgramRow { exe, go_version, module: module.as_deref() }
}

fn figure(figure: &series::Figure) -> Figure<'_> {
    let nth = match figure {
        series::Figure::Init { nth, .. } => *nth,
        _ => 0,
    };
    Figure { kind: figure.kind(), name: figure.name(), nth }
}

fn statistics(measured: &Measured) -> Statistics {
    let of = |value: fn(&Spread) -> Nanos| measured.spread.as_ref().map(value);
    Statistics {
        runs: measured.spread.map_or(0, |spread| spread.runs),
        unfinished: measured.unfinished,
        min_ns: of(|spread| spread.min),
        q1_ns: of(|spread| spread.q1),
        median_ns: of(|spread| spread.median),
        q3_ns: of(|spread| spread.q3),
        max_ns: of(|spread| spread.max),
    }
}
