//! Histories -> what people and programs read. One format a file behind one small trait.

mod account;
mod blocking_flame;
mod blocking_ndjson;
mod blocking_screen;
mod blocking_text;
mod budget;
mod csv;
mod diff;
mod diff_ndjson;
mod flamegraph;
mod folded;
mod format;
mod gc;
mod header;
mod html;
mod inittrace;
pub mod inspect;
pub mod list;
mod ndjson;
mod parking;
mod picture;
mod pprof;
mod repeats;
mod schema;
mod shared_lines;
mod speedscope;
mod startup_flame;
mod startup_spans;
mod status;
mod status_ndjson;
mod subject;
mod text;
mod trace_event;

use std::io;

pub use blocking_flame::{BlockingFlame, FlameBy, FlameOf};
pub use blocking_screen::Screen;
pub use blocking_text::BlockingText;
pub use budget::verdict;
pub use diff::{DiffFlame, DiffText, RunningDiffNdjson, RunningDiffText, Side};
pub use diff_ndjson::DiffNdjson;
pub use format::{Format, History, View};
pub use html::Html;
pub use ndjson::Ndjson;
pub use repeats::RepeatsText;
pub use schema::schema;
pub use startup_flame::StartupFlame;
pub use text::{InitOrder, Text};

use crate::model::Report;
use crate::model::blocking::BlockingReport;

/// What is exported.
#[derive(Clone, Copy)]
pub enum Told<'a> {
    /// How a program started.
    Start(&'a Report),
    /// What a running program was seen to do.
    Running(&'a BlockingReport),
}

/// A format that a history can be written in.
pub trait Export {
    /// Writes how a program started.
    ///
    /// # Errors
    /// Only those of the writer.
    fn start(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()>;

    /// Writes what a running program was seen to do.
    ///
    /// # Errors
    /// Only those of the writer.
    fn running(&self, report: &BlockingReport, out: &mut dyn io::Write) -> io::Result<()>;
}

/// A name as it may be shown on a terminal: whoever chose it cannot steer the terminal with it.
#[must_use]
pub fn printable(name: &str) -> String {
    let is_plain = |character: char| !character.is_control() && !is_direction_mark(character);
    if name.chars().all(is_plain) {
        return name.to_owned();
    }
    let escape = |character: char| {
        if is_plain(character) { character.to_string() } else { character.escape_unicode().to_string() }
    };
    name.chars().map(escape).collect()
}

/// A stack as formats list it: each function with its file and line, the innermost first.
fn functions(stack: &[impl ToString]) -> Vec<String> {
    stack.iter().map(ToString::to_string).collect()
}

/// The marks that turn the direction of text around (Unicode's "Trojan Source" set).
fn is_direction_mark(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_cannot_steer_a_terminal() {
        assert_eq!(printable("net/http"), "net/http");
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
    }
}

#[cfg(test)]
#[path = "golden_tests.rs"]
mod golden_tests;

#[cfg(test)]
#[path = "blocking_tests.rs"]
mod blocking_tests;
