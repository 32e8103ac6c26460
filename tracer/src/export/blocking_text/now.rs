//! Who is blocked at this moment.

use std::io::{self, Write};

use super::super::printable;
use super::{BlockingText, origin_name, site_name};
use crate::model::blocking::{BLOCKED_NOW, BlockedGroup, BlockingReport, Standing};
use crate::target::gobin::Frame;

/// So many innermost frames of a stack are shown.
const FRAMES: usize = 8;

impl BlockingText {
    pub(super) fn now(self, report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
        let (bold, dim) = (self.bold(), self.dim());
        writeln!(out, "{bold}blocked now{bold:#}: {}", in_all(report))?;
        let suffered: Vec<&BlockedGroup> =
            report.blocked_groups.iter().filter(|group| group.standing == Standing::Suffered).collect();
        for group in self.shown(suffered) {
            let longest = &group.longest;
            let since = match longest.since {
                Some(since) => {
                    let sign = if since.is_exact() { "" } else { ">=" };
                    format!("{sign}{}", report.ended.since(since.time()).for_people())
                }
                None => "?".to_owned(),
            };
            let what =
                longest.syscall.as_deref().or(longest.wait_reason.as_deref()).unwrap_or("a system call");
            let object =
                longest.object.as_ref().map_or_else(String::new, |name| format!(", {}", printable(name)));
            let who = match group.count {
                1 => format!("goroutine {}", longest.goid),
                count => format!("{count} goroutines, longest {}", longest.goid),
            };
            writeln!(out, "  {since:>11}  {}  {dim}{what}{object}, {who}{dim:#}", site_name(&group.site))?;
            let stack = longest.stack.iter().skip_while(|frame| is_machinery(frame));
            for frame in stack.take(FRAMES) {
                writeln!(out, "  {:>11}  {dim}  {}{dim:#}", "", printable(&frame.to_string()))?;
            }
            if let Some(origin) = &longest.origin {
                writeln!(out, "  {:>11}  {dim}  made at {}{dim:#}", "", printable(&origin_name(origin)))?;
            }
        }
        writeln!(out)
    }
}

/// How many are blocked, and whether these are all.
pub(in crate::export) fn in_all(report: &BlockingReport) -> String {
    let count = |wanted: fn(Standing) -> bool| {
        let groups = report.blocked_groups.iter().filter(|group| wanted(group.standing));
        groups.map(|group| group.count).sum::<u64>()
    };
    let suffering = count(|standing| standing == Standing::Suffered);
    let parked = count(|standing| standing == Standing::Parked);
    let idle = count(|standing| matches!(standing, Standing::Idle(_)));
    let is_part = report.missing.iter().any(|missing| missing.probe == BLOCKED_NOW);
    let beside = if is_part { "; these are not all: see \"not seen\"" } else { "" };
    format!("{suffering} in calls and waits, {parked} parked by the program, {idle} idle{beside}")
}

/// What every wait has at its top, and says nothing that the system call does not.
fn is_machinery(frame: &Frame) -> bool {
    ["runtime.", "internal/", "syscall."].iter().any(|package| frame.function.starts_with(package))
}
