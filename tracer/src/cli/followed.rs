//! A capture of a running program -> its reports again.

use std::io::Read;

use super::output::Outputs;
use crate::capture::Replayed;
use crate::export::{FlameOf, Format, History, Told, View};

/// Whether a report of it may be taken for whole.
pub(super) struct Outcome {
    /// Whether so much was lost when it was recorded that a script must not take the report for whole.
    pub(super) is_incomplete: bool,
    /// Whether the session came to its end.
    pub(super) is_whole: bool,
}

/// Writes the reports in between and the last one. None when the capture ends before anything can be told.
pub(super) fn tell<R: Read>(
    mut replayed: Replayed<R>,
    view: &View,
    mut outputs: Outputs,
) -> anyhow::Result<Option<Outcome>> {
    outputs.ensure(History::Running)?;
    let mut last = None;
    while let Some(reported) = replayed.next_report()? {
        if (outputs.has(Format::Gctrace) || view.of == FlameOf::Assists) && reported.report.gc.is_none() {
            anyhow::bail!("nothing of the garbage collector is in it");
        }
        if view.of == FlameOf::Parked && reported.report.parking.is_none() {
            anyhow::bail!("nothing of parked goroutines is in it: it was recorded without --waits");
        }
        // A flame graph is one picture, of all.
        let is_due = |format: Format| format.appends() || (reported.is_last && reported.whole.is_none());
        outputs.add(Told::Running(&reported.report), view, is_due)?;
        if let Some(whole) = &reported.whole {
            outputs.add(Told::Running(whole), view, |format| !format.appends())?;
        }
        last = Some(reported);
    }
    let Some(last) = last else { return Ok(None) };
    outputs.commit()?;
    let is_incomplete = last.report.losses.is_incomplete();
    Ok(Some(Outcome { is_incomplete, is_whole: replayed.is_whole() }))
}
