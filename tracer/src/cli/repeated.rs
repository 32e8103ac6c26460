//! Several starts of one command: each as it comes, and in text all together at the end.

use super::output::{self, Outputs};
use crate::export::{Format, InitOrder, RepeatsText, Told, View};
use crate::model::{Repeats, Report};

/// The starts so far.
#[derive(Default)]
pub(super) struct Repeated {
    repeats: Option<Repeats>,
    /// Whether so much of one was lost that it is not to be taken for whole.
    pub(super) incomplete: bool,
}

impl Repeated {
    /// Writes the start where each has its own lines.
    pub(super) fn add(&mut self, report: &Report, outputs: &mut Outputs) -> anyhow::Result<()> {
        let has_own_lines = |format: Format| format.appends() && format != Format::Text;
        outputs.add(Told::Start(report), &View::default(), has_own_lines)?;
        self.incomplete |= output::is_incomplete(&report.totals());
        self.repeats.get_or_insert_with(|| Repeats::new(report.subject.clone())).add(report)?;
        Ok(())
    }

    /// Writes what there is of all together, and gives the files their names. None without a start.
    pub(super) fn finish(
        self,
        outputs: Outputs,
        order: InitOrder,
        inits: usize,
    ) -> anyhow::Result<Option<Repeats>> {
        let Some(repeats) = self.repeats else { return Ok(None) };
        outputs.finish(|color, out| RepeatsText { order, inits, color }.write(&repeats, out))?;
        Ok(Some(repeats))
    }
}
