//! What was lost, for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::model::Totals;
use crate::stream::ProbeLoss;

/// Writes the account in two lines, whose style warns when something was lost, and returns that style. `which`
/// stands before it: empty, or for instance `in all runs `.
pub(super) fn write_account(
    which: &str,
    totals: &Totals,
    losses: &[ProbeLoss],
    color: bool,
    out: &mut dyn Write,
) -> io::Result<Style> {
    let clean = totals.is_clean();
    let style = match (color, clean) {
        (false, _) => Style::new(),
        (true, true) => Style::new().dimmed(),
        (true, false) => AnsiColor::Red.on_default().bold(),
    };
    let verdict = if clean { "" } else { "  INCOMPLETE: times beside a gap may be wrong" };
    writeln!(
        out,
        "{style}{which}{} probe hits, {} lost, {} undecodable, {} unresolved{verdict}{style:#}",
        totals.hits, totals.dropped, totals.undecodable, totals.unresolved
    )?;
    let by_probe: Vec<String> =
        losses.iter().map(|loss| format!("{} {}/{}", loss.probe.name(), loss.dropped, loss.hits)).collect();
    writeln!(out, "{style}lost of hits by probe: {}{style:#}", by_probe.join(", "))?;
    Ok(style)
}
