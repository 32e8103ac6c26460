//! What was lost and what could not be seen: always told, also when there is nothing of it.

use std::io::{self, Write};

use super::markup::Words;
use super::table::{Cell, Column, Kind, Table};
use crate::model::MissingProbe;
use crate::stream::ProbeLoss;

/// The verdict in a line.
pub(super) fn verdict(complete: bool, words: &str, out: &mut dyn Write) -> io::Result<()> {
    let (class, verdict) = if complete {
        ("good", "Nothing was lost.")
    } else {
        ("bad", "INCOMPLETE: times beside a gap may be wrong.")
    };
    writeln!(out, "<p class={class}><b>{verdict}</b> {}", Words(words))
}

/// Every probe's account.
pub(super) fn losses(losses: &[ProbeLoss], out: &mut dyn Write) -> io::Result<()> {
    let row = |loss: &ProbeLoss| {
        vec![Cell::words(loss.probe.name()), Cell::count(loss.hits), Cell::count(loss.dropped)]
    };
    let count = losses.len();
    writeln!(out, "<details><summary>{count} probes, each with its hits and losses</summary>")?;
    Table {
        caption: "Hits and losses by probe".to_owned(),
        columns: vec![
            Column("probe", Kind::Words, ""),
            Column("hits", Kind::Number, ""),
            Column("lost", Kind::Number, "Hits whose records were lost"),
        ],
        rows: losses.iter().map(row).collect(),
        head: 0,
        sorted: None,
    }
    .write(out)?;
    writeln!(out, "</details>")
}

/// What could not be seen, each with the reason.
#[expect(single_use_lifetimes, reason = "impl Trait needs its name")]
pub(super) fn missing<'a>(
    missing: impl Iterator<Item = &'a MissingProbe>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut missing = missing.peekable();
    if missing.peek().is_none() {
        return writeln!(out, "<p>Everything that was to be probed was.");
    }
    writeln!(out, "<ul class=missing>")?;
    for MissingProbe { probe, function, reason, is_detail } in missing {
        let class = if *is_detail { "detail" } else { "bad" };
        writeln!(
            out,
            "<li class={class}>not seen: <b>{}</b> ({}): {}",
            Words(probe),
            Words(function),
            Words(reason)
        )?;
    }
    writeln!(out, "</ul>")
}
