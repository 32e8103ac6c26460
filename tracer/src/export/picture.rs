//! Flame graphs, of a start and of a running program: as lines, and drawn.

use std::io::{self, Write};

use super::{BlockingFlame, Export, StartupFlame, View};
use crate::model::Report;
use crate::model::blocking::BlockingReport;

/// Stacks with their weights, one a line.
pub(super) struct Folded(pub(super) View);

/// A flame graph.
pub(super) struct Svg(pub(super) View);

fn of_start(view: &View) -> StartupFlame {
    StartupFlame { focus: view.focus.clone() }
}

fn of_running(view: &View) -> BlockingFlame {
    BlockingFlame { of: view.of, by: view.by, focus: view.focus.clone() }
}

impl Export for Folded {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        of_start(&self.0).write_folded(report, out)
    }

    fn running(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        of_running(&self.0).write_folded(report, out)
    }
}

impl Export for Svg {
    fn start(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        of_start(&self.0).write_svg(report, out)
    }

    fn running(&self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        of_running(&self.0).write_svg(report, out)
    }
}
