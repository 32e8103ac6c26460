//! The lines that `GODEBUG=inittrace=1` makes the runtime print (runtime/proc.go, `doInit1`).

use std::io::{self, Write};

use super::gc::milliseconds;
use super::{Export, printable};
use crate::model::blocking::BlockingReport;
use crate::model::{Init, Report};
use crate::units::Nanos;

/// The format. Like Go's it has the inits that came to their end. What was allocated is what all goroutines did.
pub(super) struct Inittrace;

impl Export for Inittrace {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let inits = &report.timeline.inits;
        // The runtime takes the time right before its first init (`runtimeInitTime`), which no probe sees.
        let Some(begin) = inits.first().map(|init| init.start) else { return Ok(()) };
        inits.iter().filter(|init| init.done).try_for_each(|init| writeln!(out, "{}", line(init, begin)))
    }

    fn running(&self, _: &BlockingReport, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// What is not known is a question mark.
fn line(init: &Init, begin: Nanos) -> String {
    let [at, clock] = [init.start.since(begin), init.wall].map(milliseconds);
    let known = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let bytes = known(init.heap.map(|heap| heap.bytes));
    let allocs = known(init.heap.map(|heap| heap.allocs));
    format!("init {} @{at} ms, {clock} ms clock, {bytes} bytes, {allocs} allocs", name(&init.package()))
}

/// A path stays one word, whoever chose it: with spaces it could look like the rest of the line.
fn name(package: &str) -> String {
    let escape = |character: char| {
        if character.is_whitespace() { character.escape_unicode().to_string() } else { character.to_string() }
    };
    printable(package).chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_path_is_one_word() {
        assert_eq!(name("net/http"), "net/http");
        assert_eq!(name("a @1 ms,\nb\u{1b}"), "a\\u{20}@1\\u{20}ms,\\u{a}b\\u{1b}");
    }
}
