//! The phases, and what there was beside them.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::Text;
use super::shares::{bar, parts, share};
use crate::export::printable;
use crate::model::{Counts, Phase, PhaseName, Report};
use crate::units::Nanos;

/// How wide a phase's bar is when the phase is all there is, in characters.
const PHASE_BAR: usize = 28;

impl Text {
    pub(super) fn phases(self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let timeline = &report.timeline;
        let before_main = |phase: &&Phase| phase.name != PhaseName::Main;
        let Nanos(whole) = timeline.phases.iter().filter(before_main).map(|phase| phase.duration).sum();
        let longest = timeline.phases.iter().filter(before_main).map(|phase| phase.duration.0).max();
        let dim = self.style(Style::new().dimmed());
        for phase in &timeline.phases {
            let is_main = phase.name == PhaseName::Main;
            let mut label = label(phase.name, report.subject.linking.interpreter.is_some()).to_owned();
            if !phase.done {
                label.push_str(if is_main { " (so far)" } else { " (not over)" });
            }
            let at = phase.start.since(timeline.begin).for_people();
            write!(out, "  {label:<28} {dim}at {at:>9}{dim:#}  {:>9}", phase.duration.for_people())?;
            if is_main {
                writeln!(out)?;
                continue;
            }
            let style = self.style(if Some(phase.duration.0) == longest {
                AnsiColor::Yellow.on_default()
            } else {
                AnsiColor::Cyan.on_default()
            });
            let share = share(phase.duration.0, whole);
            let bar = bar(phase.duration.0, whole, PHASE_BAR);
            let gap = if bar.is_empty() { "" } else { "  " };
            let parts = parts(phase.parts.as_ref(), phase.duration);
            let gap_parts = if parts.is_empty() { "" } else { "  " };
            writeln!(out, "  {share:>6}{gap}{style}{bar}{style:#}{gap_parts}{dim}{parts}{dim:#}")?;
            for step in &phase.steps {
                let at = step.start.since(timeline.begin).for_people();
                let duration = step.duration.for_people();
                writeln!(out, "  {dim}  of it {:<20} at {at:>9}  {duration:>9}{dim:#}", step.name)?;
            }
        }
        if let Some(slowest) = timeline.libraries.iter().max_by_key(|library| library.duration) {
            let name = slowest.path.rsplit('/').next().unwrap_or(&slowest.path);
            writeln!(
                out,
                "  {dim}libraries mapped before main.main: {}, the slowest {} in {}{dim:#}",
                timeline.libraries.len(),
                printable(name),
                slowest.duration.for_people()
            )?;
        }
        if let Some(counts) = &timeline.at_main {
            let ps = counts.ps.map_or(String::new(), |ps| format!("{ps} Ps, "));
            let Counts { threads, goroutines, .. } = counts;
            writeln!(
                out,
                "  {dim}when main.main began: {threads} threads, {ps}{goroutines} goroutines{dim:#}"
            )?;
        }
        writeln!(out)
    }
}

/// A phase for people.
pub(in super::super) fn label(name: PhaseName, dynamic: bool) -> &'static str {
    match name {
        PhaseName::Exec => "exec",
        PhaseName::DynamicLink if dynamic => "dynamic linking",
        PhaseName::DynamicLink => "to the first instruction",
        PhaseName::RuntimeBootstrap => "runtime bootstrap",
        PhaseName::RuntimeInit => "runtime init",
        PhaseName::PackageInit => "package init",
        PhaseName::Main => "main.main",
    }
}
