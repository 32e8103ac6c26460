//! The table of inits.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::shares::{PART_SHARE, bar, parts, share, share_of};
use super::{InitOrder, Text};
use crate::export::printable;
use crate::model::{Init, Report, TimedFunction};
use crate::units::Nanos;

/// From this much on an init's functions are shown by themselves.
const FUNCTIONS_FROM: Nanos = Nanos(1_000_000);

/// How wide the slowest init's bar is.
const INIT_BAR: usize = 12;

impl Text {
    pub(super) fn inits(self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        let timeline = &report.timeline;
        if timeline.inits.is_empty() {
            return writeln!(out, "no package init was seen\n");
        }
        let bold = self.style(Style::new().bold());
        let dim = self.style(Style::new().dimmed());
        let Nanos(sum) = timeline.inits.iter().map(|init| init.wall).sum();
        let mut rows: Vec<(usize, &Init)> = timeline.inits.iter().enumerate().collect();
        if self.order == InitOrder::Slowest {
            rows.sort_by_key(|(seq, init)| (std::cmp::Reverse(init.wall), *seq));
        }
        let total = rows.len();
        if self.inits != 0 {
            rows.truncate(self.inits);
        }
        let what = self.order.heading(rows.len(), total);
        writeln!(out, "{bold}{what}{bold:#}, {} in all", Nanos(sum).for_people())?;
        let widest = rows.iter().map(|(_, init)| init.wall.0).max().unwrap_or(0);
        for (seq, init) in rows {
            let style = self.style(if share_of(init.wall.0, sum) >= 0.1 {
                AnsiColor::Yellow.on_default()
            } else {
                AnsiColor::Cyan.on_default()
            });
            let at = init.start.since(timeline.begin).for_people();
            let unfinished = if init.done { "" } else { "  (not over)" };
            let parts = parts(init.parts.as_ref(), init.wall);
            let gap = if parts.is_empty() { "" } else { "  " };
            let heap = init.heap.filter(|heap| heap.allocs > 0);
            let heap = heap.map_or_else(String::new, |heap| format!("  {heap}"));
            writeln!(
                out,
                "  {:>9}  {:>6}  {style}{:<INIT_BAR$}{style:#}  {dim}at {at:>9}  #{seq:<4}{dim:#} {}{unfinished}{gap}{dim}{parts}{heap}{dim:#}",
                init.wall.for_people(),
                share(init.wall.0, sum),
                bar(init.wall.0, widest, INIT_BAR),
                printable(&init.package()),
            )?;
            if init.wall >= FUNCTIONS_FROM {
                self.functions(init, out)?;
            }
        }
        writeln!(out)
    }

    /// Which of its functions took an init's time, when there is a choice, and who imports the package.
    fn functions(self, init: &Init, out: &mut dyn Write) -> io::Result<()> {
        let dim = self.style(Style::new().dimmed());
        if let Some(importer) = &init.imported_by {
            writeln!(out, "  {dim}{:>9}  imported by {}{dim:#}", "", printable(importer))?;
        }
        if init.functions.len() < 2 {
            return Ok(());
        }
        let large =
            |timed: &&TimedFunction| timed.wall.is_some_and(|wall| wall.0 >= init.wall.0 / PART_SHARE);
        for TimedFunction { function, wall, .. } in init.functions.iter().filter(large) {
            let wall = wall.map_or(String::new(), Nanos::for_people);
            let begin = function.begin().to_string();
            writeln!(out, "  {dim}{wall:>9}  of it in {}{dim:#}", printable(&begin))?;
        }
        Ok(())
    }
}
