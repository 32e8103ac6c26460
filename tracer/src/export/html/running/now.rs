//! Who is blocked when the report ends.

use std::io::{self, Write};

use super::super::collector::folded;
use super::super::markup::Words;
use super::super::page::{end, section};
use super::super::table::{Cell, Column, Kind, Table};
use crate::export::blocking_text::now::in_all;
use crate::export::blocking_text::{origin_name, site_name};
use crate::export::functions;
use crate::model::blocking::{BlockedGroup, BlockingReport, Standing};

pub(super) fn blocked_now(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    section("now", "Blocked at the end", out)?;
    let groups = &report.blocked_groups;
    writeln!(out, "<p>{}.", Words(&in_all(report)))?;
    let row = |group: &BlockedGroup| {
        let longest = &group.longest;
        let lasts = longest.since.map_or(Cell::Nothing, |since| {
            let time = report.ended.since(since.time());
            let sign = if since.is_exact() { "" } else { "≥ " };
            Cell::Number(time.0, format!("{sign}{}", time.for_people()))
        });
        let mut stack = functions(&longest.stack);
        stack.extend(longest.origin.as_ref().map(|origin| format!("made at {}", origin_name(origin))));
        vec![
            lasts,
            Cell::count(group.count),
            Cell::words(
                longest.syscall.as_deref().or(longest.wait_reason.as_deref()).unwrap_or("a system call"),
            ),
            Cell::Folded(site_name(&group.site), stack),
            Cell::words(longest.object.clone().unwrap_or_default()),
            Cell::count(longest.goid),
            Cell::words(group.standing.name()),
        ]
    };
    let table = |groups: Vec<&BlockedGroup>, caption: &str| Table {
        caption: caption.to_owned(),
        columns: vec![
            Column("for", Kind::Number, "The longest of them; ≥ where it began before gotrace came"),
            Column("goroutines", Kind::Number, ""),
            Column("in", Kind::Words, ""),
            Column("at", Kind::Words, "Unfolded: the stack"),
            Column("on", Kind::Words, ""),
            Column("longest", Kind::Number, "The goroutine's id"),
            Column("standing", Kind::Words, ""),
        ],
        rows: groups.into_iter().map(row).collect(),
        head: 3,
        sorted: None,
    };
    let (suffered, others): (Vec<_>, Vec<_>) =
        groups.iter().partition(|group| group.standing == Standing::Suffered);
    if !suffered.is_empty() {
        table(suffered, "Goroutines in calls and waits that have not come back").write(out)?;
    }
    folded("Parked by the program, and idle", &table(others, "Parked and idle goroutines"), out)?;
    end(out)
}
