//! A running program twice, side by side, one JSON object a line, in the contract of [`crate::export::Ndjson`]: a `header`
//! with `"report":"diff"` and `"of":"running"`, `blocked_change` for all, each cause and each place, `gc_change` for each
//! figure of the collector, and a `summary`.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::Side;
use crate::event::recorded::SCHEMA;
use crate::export::diff_ndjson::{ProgramRow, program};
use crate::export::header::write_line;
use crate::model::diff::{Blocked, BlockedChange, Compared, GcChange, GcFigure, RunningComparison, Sample};
use crate::units::Nanos;

/// The format.
#[derive(Clone, Copy, Debug)]
pub struct RunningDiffNdjson;

/// A line of diff --json of two reports on running programs.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "RunningDiffLine")]
enum Line<'a> {
    /// What is compared: the first line.
    Header {
        schema: u64,
        report: &'static str,
        of: &'static str,
        gotrace: &'static str,
        a: Input<'a>,
        b: Input<'a>,
    },
    /// What was blocked: `kind` is total, cause or site. A site without a line is a whole function.
    BlockedChange {
        kind: &'static str,
        cause: Option<&'a str>,
        function: Option<&'a str>,
        file: Option<&'a str>,
        line: Option<u32>,
        /// Of the time each second: slower, faster or same.
        verdict: &'static str,
        /// How the noise was judged.
        basis: &'static str,
        a: Sums,
        b: Sums,
        time_ns_per_s: Difference,
        count_per_s: Difference,
        /// How long each was; null when a side has too few.
        each_ns: Option<Difference>,
    },
    /// A figure of the garbage collector: `unit` is per_s, ns_per_s or ns, `verdict` more, less or same.
    GcChange {
        figure: String,
        unit: &'static str,
        verdict: &'static str,
        basis: &'static str,
        a: f64,
        b: f64,
        #[serde(flatten)]
        difference: Difference,
    },
    /// The last line.
    Summary { slower: usize, faster: usize, same: usize, gc_more: usize, gc_less: usize, gc_same: usize },
}

#[derive(Serialize, JsonSchema)]
struct Input<'a> {
    file: &'a str,
    spans: usize,
    incomplete: usize,
    cut: usize,
    span_ns: Nanos,
    /// For how long the collector was followed; null when it was not.
    gc_span_ns: Option<Nanos>,
    gc_cycles: Option<u64>,
    /// Cycles that no pause is known of.
    gc_cycles_untold: Option<u64>,
    programs: Vec<ProgramRow<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct Sums {
    count: u64,
    total_ns: Nanos,
    max_ns: Nanos,
    per_s: f64,
    ns_per_s: f64,
    mean_ns: Option<f64>,
}

/// The second side less the first; up to `noise` it is noise.
#[derive(Serialize, JsonSchema)]
struct Difference {
    difference: f64,
    noise: f64,
    is_noise: bool,
}

/// The schema of its lines.
pub(in crate::export) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Line<'static>>()
}

impl RunningDiffNdjson {
    /// Writes the whole comparison.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(
        self,
        sides: [Side<'_>; 2],
        comparison: &RunningComparison,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let times = sides.map(|side| side.recording.spans.time);
        let [a, b] = sides.map(input);
        let gotrace = env!("CARGO_PKG_VERSION");
        write_line(out, &Line::Header { schema: SCHEMA, report: "diff", of: "running", gotrace, a, b })?;
        for change in &comparison.blocked {
            write_line(out, &blocked(change, times))?;
        }
        for GcChange { figure, compared } in &comparison.gc {
            let (unit, basis) = match figure {
                GcFigure::Cycles => ("per_s", "poisson"),
                GcFigure::Pause | GcFigure::Assist => ("ns_per_s", "poisson"),
                GcFigure::Quantile(_) => ("ns", "order"),
            };
            write_line(
                out,
                &Line::GcChange {
                    figure: figure.name(),
                    unit,
                    verdict: verdict(compared, MORE),
                    basis,
                    a: compared.a,
                    b: compared.b,
                    difference: Difference::of(compared),
                },
            )?;
        }
        write_line(out, &summary(comparison))
    }
}

impl Difference {
    fn of(compared: &Compared) -> Self {
        let Compared { noise, .. } = *compared;
        Self { difference: compared.difference(), noise, is_noise: !compared.is_beyond_noise() }
    }
}

fn blocked<'a>(change: &'a BlockedChange, [on_a, on_b]: [Nanos; 2]) -> Line<'a> {
    let (kind, cause, site) = match &change.what {
        Blocked::All => ("total", None, None),
        Blocked::Cause(cause) => ("cause", Some(cause.as_str()), None),
        Blocked::Site(place) => ("site", Some(place.cause.as_str()), Some(place)),
    };
    let is_line = site.filter(|place| !place.file.is_empty());
    Line::BlockedChange {
        kind,
        cause,
        function: site.map(|place| place.function.as_str()).filter(|function| !function.is_empty()),
        file: is_line.map(|place| place.file.as_str()),
        line: is_line.map(|place| place.line),
        verdict: verdict(&change.time, SLOWER),
        basis: "poisson",
        a: sums(&change.a, on_a),
        b: sums(&change.b, on_b),
        time_ns_per_s: Difference::of(&change.time),
        count_per_s: Difference::of(&change.count),
        each_ns: change.each.as_ref().map(Difference::of),
    }
}

fn sums(sample: &Sample, span: Nanos) -> Sums {
    Sums {
        count: sample.count,
        total_ns: sample.total,
        max_ns: sample.longest,
        per_s: sample.per_second(span),
        ns_per_s: sample.time_per_second(span),
        mean_ns: (sample.count > 0).then(|| sample.each()),
    }
}

const SLOWER: [&str; 2] = ["slower", "faster"];
const MORE: [&str; 2] = ["more", "less"];

/// What a figure is that is larger in the second, and one that is smaller.
fn verdict(compared: &Compared, [larger, smaller]: [&'static str; 2]) -> &'static str {
    match (compared.is_beyond_noise(), compared.difference() > 0.0) {
        (false, _) => "same",
        (true, true) => larger,
        (true, false) => smaller,
    }
}

fn summary(comparison: &RunningComparison) -> Line<'static> {
    let sites = || comparison.blocked.iter().filter(|change| matches!(change.what, Blocked::Site(_)));
    let blocked = |is: &str| sites().filter(|change| verdict(&change.time, SLOWER) == is).count();
    let of_gc = |change: &GcChange| verdict(&change.compared, MORE);
    let gc = |is: &str| comparison.gc.iter().filter(|change| of_gc(change) == is).count();
    Line::Summary {
        slower: blocked("slower"),
        faster: blocked("faster"),
        same: blocked("same"),
        gc_more: gc("more"),
        gc_less: gc("less"),
        gc_same: gc("same"),
    }
}

fn input(side: Side<'_>) -> Input<'_> {
    let recording = side.recording;
    let gc = recording.spans.gc.as_ref();
    Input {
        file: side.file,
        spans: recording.spans.reports,
        incomplete: recording.spans.incomplete,
        cut: recording.cut,
        span_ns: recording.spans.time,
        gc_span_ns: gc.map(|gc| gc.time),
        gc_cycles: gc.map(|gc| gc.cycles),
        gc_cycles_untold: gc.map(|gc| gc.untold),
        programs: recording.programs.iter().map(program).collect(),
    }
}
