//! The formats by name, and which history each can tell.

use std::path::Path;

use regex::Regex;

use super::blocking_flame::{FlameBy, FlameOf};
use super::csv::Csv;
use super::gc::Gctrace;
use super::html::Html;
use super::inittrace::Inittrace;
use super::ndjson::Ndjson;
use super::picture::{Folded, Svg};
use super::pprof::Pprof;
use super::speedscope::Speedscope;
use super::text::{InitOrder, Text};
use super::trace_event::TraceEvent;
use super::{Export, Told};

/// A format that a report can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line: the contract for programs.
    Ndjson,
    /// Stacks with their weights, one a line, for flame graph tools.
    Folded,
    /// A flame graph.
    Svg,
    /// Stacks with their weights, or in the order of time, for <https://www.speedscope.app>.
    Speedscope,
    /// Everything that has a time, on the tracks of its goroutines, for <https://ui.perfetto.dev>.
    TraceEvent,
    /// The garbage collector's cycles, as `GODEBUG=gctrace=1` prints them.
    Gctrace,
    /// One page with tables and charts, for a browser.
    Html,
    /// A profile, for `go tool pprof` and its kin.
    Pprof,
    /// The lines of `GODEBUG=inittrace=1`.
    Inittrace,
    /// A table for spreadsheets.
    Csv,
}

/// What a report can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// How a program started.
    Start,
    /// What a running program was seen to do.
    Running,
    /// One look at a running program, from memory alone.
    Look,
    /// Two of the first, or of the second, side by side.
    Comparison,
}

/// How reports look.
#[derive(Clone, Debug)]
pub struct View {
    /// The order of a table of inits.
    pub order: InitOrder,
    /// How many inits a table has; zero for all.
    pub inits: usize,
    /// How many rows every other table has; zero for all.
    pub rows: usize,
    /// What flame graphs of a running program show.
    pub of: FlameOf,
    /// What is at their bottom.
    pub by: FlameBy,
    /// Only stacks with a frame that matches.
    pub focus: Option<Regex>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            order: InitOrder::Slowest,
            inits: 10,
            rows: 10,
            of: FlameOf::default(),
            by: FlameBy::default(),
            focus: None,
        }
    }
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Text,
        Self::Ndjson,
        Self::Folded,
        Self::Svg,
        Self::Speedscope,
        Self::TraceEvent,
        Self::Gctrace,
        Self::Html,
        Self::Pprof,
        Self::Inittrace,
        Self::Csv,
    ];

    /// Its name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Ndjson => "ndjson",
            Self::Folded => "folded",
            Self::Svg => "svg",
            Self::Speedscope => "speedscope",
            Self::TraceEvent => "trace_event",
            Self::Gctrace => "gctrace",
            Self::Html => "html",
            Self::Pprof => "pprof",
            Self::Inittrace => "inittrace",
            Self::Csv => "csv",
        }
    }

    /// What it is, for people.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Text => "For people",
            Self::Ndjson => "One JSON object a line",
            Self::Folded => "Stacks with their weights, for flame graph tools",
            Self::Svg => "A flame graph",
            Self::Speedscope => "Flame graphs for speedscope, of a start in the order of time",
            Self::TraceEvent => {
                "What has a time, on its goroutine's track: for Perfetto and chrome://tracing"
            }
            Self::Gctrace => "The garbage collector's cycles, as GODEBUG=gctrace=1 prints them",
            Self::Html => "A page with tables and charts, for a browser",
            Self::Pprof => "A profile, for go tool pprof and its kin",
            Self::Inittrace => "The inits, as GODEBUG=inittrace=1 prints them",
            Self::Csv => "A table for spreadsheets: the inits of a start, or where goroutines were blocked",
        }
    }

    /// How the names of its files end.
    #[must_use]
    pub const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Text => &[".txt"],
            Self::Ndjson => &[".ndjson", ".jsonl"],
            Self::Folded => &[".folded"],
            Self::Svg => &[".svg"],
            Self::Speedscope => &[".speedscope.json"],
            Self::TraceEvent => &[".trace.json"],
            Self::Gctrace => &[".gctrace"],
            Self::Html => &[".html"],
            Self::Pprof => &[".pb.gz"],
            Self::Inittrace => &[".inittrace"],
            Self::Csv => &[".csv"],
        }
    }

    /// The format that a file's name asks for; none when the name does not tell.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let asks = |format: &Self| {
            format.suffixes().iter().any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
        };
        Self::ALL.into_iter().find(asks)
    }

    /// Whether one report may follow another; else there is one of all, at the end.
    #[must_use]
    pub const fn appends(self) -> bool {
        match self {
            Self::Text | Self::Ndjson | Self::Gctrace => true,
            Self::Folded
            | Self::Svg
            | Self::Speedscope
            | Self::TraceEvent
            | Self::Html
            | Self::Pprof
            | Self::Inittrace
            | Self::Csv => false,
        }
    }

    /// Why it cannot tell such a history; none when it can.
    #[must_use]
    pub const fn refusal(self, of: History) -> Option<&'static str> {
        match (self, of) {
            (Self::Text | Self::Ndjson, _) | (Self::Svg, History::Comparison) => None,
            (_, History::Comparison) => Some("a comparison is text, ndjson or svg"),
            (_, History::Look) => {
                Some("one look has nothing to tell as that: leave out --now, or that output")
            }
            (Self::Inittrace, History::Running) => {
                Some("the inits of a running program are over: gotrace run sees them")
            }
            (_, History::Start | History::Running) => None,
        }
    }

    /// What writes it. In `color` is what a terminal shows.
    #[must_use]
    pub fn exporter(self, view: &View, color: bool) -> Box<dyn Export> {
        match self {
            Self::Text => Box::new(Text { order: view.order, inits: view.inits, rows: view.rows, color }),
            Self::Ndjson => Box::new(Ndjson),
            Self::Folded => Box::new(Folded(view.clone())),
            Self::Svg => Box::new(Svg(view.clone())),
            Self::Speedscope => Box::new(Speedscope(view.clone())),
            Self::TraceEvent => Box::new(TraceEvent),
            Self::Gctrace => Box::new(Gctrace),
            Self::Html => Box::new(Html),
            Self::Pprof => Box::new(Pprof { of: view.of }),
            Self::Inittrace => Box::new(Inittrace),
            Self::Csv => Box::new(Csv),
        }
    }

    /// Writes a history in it.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write(
        self,
        told: Told<'_>,
        view: &View,
        color: bool,
        out: &mut dyn std::io::Write,
    ) -> std::io::Result<()> {
        let exporter = self.exporter(view, color);
        match told {
            Told::Start(report) => exporter.start(report, out),
            Told::Running(report) => exporter.running(report, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_follows_from_the_file_name() {
        assert_eq!(Format::of_path(Path::new("a/b.ndjson")), Some(Format::Ndjson));
        assert_eq!(Format::of_path(Path::new("b.txt")), Some(Format::Text));
        assert_eq!(Format::of_path(Path::new("b.svg")), Some(Format::Svg));
        assert_eq!(Format::of_path(Path::new("b.folded")), Some(Format::Folded));
        assert_eq!(Format::of_path(Path::new("b.gctrace")), Some(Format::Gctrace));
        assert_eq!(Format::of_path(Path::new("b.html")), Some(Format::Html));
        assert_eq!(Format::of_path(Path::new("b.speedscope.json")), Some(Format::Speedscope));
        assert_eq!(Format::of_path(Path::new("b.trace.json")), Some(Format::TraceEvent));
        assert_eq!(Format::of_path(Path::new("b.json")), None);
        assert_eq!(Format::of_path(Path::new("b.pb.gz")), Some(Format::Pprof));
        assert_eq!(Format::of_path(Path::new("b.gz")), None);
        assert_eq!(Format::of_path(Path::new("b.png")), None);
        assert_eq!(Format::of_path(Path::new("ndjson")), None);
        assert_eq!(Format::of_path(Path::new(".ndjson")), None);
    }
}
