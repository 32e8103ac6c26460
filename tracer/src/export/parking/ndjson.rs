//! The lines of why goroutines did not run. Fields may be added, never renamed.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::export::functions;
use crate::export::header::write_line;
use crate::export::shared_lines::MissingLine;
use crate::model::blocking::{Idle, Site, Sums};
use crate::model::parking::{Overhead, Parking, ParkingReport, WokenBy};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// The `kind` of these lines, which the blocking report's have too.
const KIND: &str = "wait";

/// A line of why goroutines did not run: of attach --waits, among those of attach.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "WaitsLine")]
enum Line<'a> {
    /// Goroutines that were parked for the same, at the same place, until the same.
    Blocking {
        kind: &'static str,
        class: &'static str,
        idle: Option<&'static str>,
        wait_reason: &'a str,
        waker: &'static str,
        waker_origin: Option<Place<'a>>,
        #[serde(flatten)]
        times: Times,
        runnable_ns: Nanos,
        site: Option<Place<'a>>,
        site_is: &'static str,
        origin: Option<Place<'a>>,
        stack: Vec<String>,
    },
    /// What could not be seen, and why.
    Missing(MissingLine<'a>),
    /// What the probes cost the program.
    Overhead {
        of: &'static str,
        hits: u64,
        dropped: u64,
        undecodable: u64,
        cost_ns: Nanos,
        cost_ns_per_hit: Nanos,
        trap_ns_per_hit: Nanos,
        handlers_ns: Nanos,
        span_ns: Nanos,
        /// Of one processor.
        share: f64,
        budget: f64,
        /// One goroutine in that many was followed; null for all.
        sampled: Option<u64>,
        sampled_ns: Option<Nanos>,
        detached_ns: Option<Nanos>,
        detached_because: Option<String>,
    },
}

#[derive(Serialize, JsonSchema)]
struct Times {
    count: u64,
    joined: u64,
    total_ns: Nanos,
    max_ns: Nanos,
    max_is_bound: bool,
    p50_ns: Option<Nanos>,
    p99_ns: Option<Nanos>,
}

impl Times {
    fn of(sums: &Sums) -> Self {
        Self {
            count: sums.count,
            joined: sums.joined,
            total_ns: sums.total,
            max_ns: sums.longest,
            max_is_bound: sums.longest_is_bound,
            p50_ns: sums.quantile(500),
            p99_ns: sums.quantile(990),
        }
    }
}

/// A line of code.
#[derive(Serialize, JsonSchema)]
struct Place<'a> {
    function: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
}

impl<'a> Place<'a> {
    fn of(frame: &'a Frame) -> Self {
        let (function, file) = (&*frame.function, frame.file.as_deref());
        Self { function, file, line: file.map(|_| frame.line) }
    }

    fn of_site(site: &'a Site) -> Option<Self> {
        let place = site.place()?;
        let (function, file) = (&*place.function, place.file.as_deref());
        Some(Self { function, file, line: file.map(|_| place.line) })
    }
}

/// The schema of its lines.
pub(in crate::export) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Line<'static>>()
}

impl ParkingReport {
    /// Writes the lines.
    ///
    /// # Errors
    /// Only those of the writer.
    pub(in crate::export) fn write_ndjson(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = |line: &Line<'_>| write_line(out, line);
        for parking in &self.parkings {
            line(&parking_line(parking))?;
        }
        self.missing.iter().try_for_each(|missing| line(&Line::Missing(MissingLine::of(missing))))?;
        line(&overhead_line(&self.overhead, self.undecodable))
    }

    /// The lines of why they were parked.
    pub(in crate::export) fn blocking_lines(&self) -> io::Result<Vec<serde_json::Value>> {
        let lines = self.parkings.iter().map(|parking| serde_json::to_value(parking_line(parking)));
        Ok(lines.collect::<Result<_, _>>()?)
    }
}

fn parking_line(parking: &Parking) -> Line<'_> {
    let waker = match &parking.woken_by {
        WokenBy::Goroutine(origin) => origin.as_ref(),
        _ => None,
    };
    Line::Blocking {
        kind: KIND,
        class: class(parking.idle),
        idle: parking.idle.map(Idle::name),
        wait_reason: &parking.reason,
        waker: parking.woken_by.name(),
        waker_origin: waker.map(Place::of),
        times: Times::of(&parking.sums),
        runnable_ns: parking.runnable,
        site: Place::of_site(&parking.site),
        site_is: parking.site.name(),
        origin: parking.origin.as_ref().map(Place::of),
        stack: functions(&parking.stack),
    }
}

#[expect(clippy::cast_precision_loss, reason = "millionths")]
fn overhead_line(overhead: &Overhead, undecodable: u64) -> Line<'static> {
    let share = |millionths: u64| millionths as f64 / 1e6;
    Line::Overhead {
        of: "waits",
        hits: overhead.hits,
        dropped: overhead.dropped,
        undecodable,
        cost_ns: overhead.cost(),
        cost_ns_per_hit: overhead.per_hit(),
        trap_ns_per_hit: overhead.trap,
        handlers_ns: overhead.handlers,
        span_ns: overhead.span,
        share: share(overhead.share()),
        budget: share(overhead.budget),
        sampled: (overhead.one_in > 1).then_some(overhead.one_in),
        sampled_ns: overhead.sampled,
        detached_ns: overhead.detached.map(|detached| detached.at),
        detached_because: overhead.detached.map(|detached| detached.reason(overhead.trap)),
    }
}

const fn class(idle: Option<Idle>) -> &'static str {
    if idle.is_some() { "idle" } else { "suffered" }
}
