//! The garbage collector during a program's start, for people: told only when it ran before `main.main`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::Style;

use crate::export::printable;
use crate::model::PhaseName;
use crate::model::gc::{GcReport, ToldCycle, megabytes};
use crate::units::Nanos;

/// How many inits are named.
const INITS: usize = 3;

impl GcReport {
    /// Writes the part.
    ///
    /// # Errors
    /// Only those of the writer.
    pub(in crate::export) fn write_startup(&self, color: bool, out: &mut dyn Write) -> io::Result<()> {
        let before_main =
            |told: &&ToldCycle| told.charged.as_ref().is_some_and(|charged| charged.phase != PhaseName::Main);
        let cycles: Vec<&ToldCycle> = self.cycles.iter().filter(before_main).collect();
        let Some(last) = cycles.last() else { return Ok(()) };
        let sum = |of: fn(&ToldCycle) -> Nanos| {
            Nanos(cycles.iter().fold(0, |sum: u64, told| sum.saturating_add(of(told).0)))
        };
        let dim = if color { Style::new().dimmed() } else { Style::new() };
        let count = cycles.len();
        writeln!(
            out,
            "  {dim}garbage collector before main.main: {count} {}, {} in all, stopped for {} of it, {} of CPU time; {} live at the end{dim:#}",
            if count == 1 { "cycle" } else { "cycles" },
            sum(|told| told.cycle.duration()).for_people(),
            sum(|told| told.cycle.pause).for_people(),
            sum(|told| told.cycle.cpu()).for_people(),
            megabytes(last.cycle.heap_marked)
        )?;
        let mut packages: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for told in &cycles {
            if let Some(package) = told.charged.as_ref().and_then(|charged| charged.package.as_deref()) {
                let (cycles, time) = packages.entry(package).or_default();
                (*cycles, *time) = (*cycles + 1, time.saturating_add(told.cycle.duration().0));
            }
        }
        let mut packages: Vec<_> = packages.into_iter().collect();
        packages.sort_by_key(|(name, (_, time))| (std::cmp::Reverse(*time), *name));
        for (package, (cycles, time)) in packages.into_iter().take(INITS) {
            let plural = if cycles == 1 { "cycle" } else { "cycles" };
            let (package, time) = (printable(package), Nanos(time).for_people());
            writeln!(out, "  {dim}  {cycles} {plural} during init of {package}, {time}{dim:#}")?;
        }
        writeln!(out)
    }
}
