//! The lines of a report on a running program, as far as comparing two needs them.

use serde::Deserialize;

use crate::units::Nanos;

/// Calls or waits that were alike.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Blocking {
    /// How the time was spent: `wait` is what `--waits` saw of parked goroutines.
    #[serde(default)]
    pub kind: String,
    /// Whose time it is.
    #[serde(default)]
    pub class: String,
    /// What it was spent on.
    pub cause: Option<String>,
    /// The system call.
    pub syscall: Option<String>,
    /// Of a wait in the network poller, whether another try ended it.
    pub retried: Option<bool>,
    /// How many returned or ended.
    pub count: u64,
    /// All their time.
    pub total_ns: Nanos,
    /// The longest's, or a bound of it.
    pub max_ns: Nanos,
    /// The line of code that it is put down to.
    pub site: Option<Site>,
    /// Where it was called, innermost first, each with file and line.
    #[serde(default)]
    pub stack: Vec<String>,
}

/// A line of code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Site {
    /// The function.
    pub function: String,
    /// Its file, when it is known.
    pub file: Option<String>,
    /// The line, when it is known.
    pub line: Option<u32>,
}

/// A cycle of the garbage collector.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Gc {
    pub stw_sweep_term_ns: Nanos,
    pub stw_mark_term_ns: Nanos,
    pub assist_ns: Nanos,
}

/// The sums of all cycles.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GcSummary {
    /// Why nothing of the collector is told.
    pub refused: Option<String>,
    /// Cycles that ended in the span.
    pub cycles: u64,
    /// Cycles of which no record came.
    #[serde(default)]
    pub cycles_missed: u64,
    /// Cycles that are in the sums alone.
    #[serde(default)]
    pub cycles_untold: u64,
    /// How long the span was.
    pub span_ns: Nanos,
}
