//! Where goroutines were blocked: by line of code, by go statement, on what; and what idles.

use std::io::{self, Write};

use super::super::collector::folded;
use super::super::page::{end, section};
use super::super::table::{Cell, Column, Kind, Length, Table};
use super::{TIMES, times};
use crate::export::blocking_text::sites::what;
use crate::export::blocking_text::{origin_name, site_name};
use crate::export::functions;
use crate::model::TimeSums;
use crate::model::blocking::{BlockingCause, BlockingReport, Class, Group, Site, Sums};
use crate::units::{Nanos, saturating_sum};

pub(super) fn sites(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    section("sites", "Where goroutines were blocked", out)?;
    let all = report.suffered_total();
    let sites = report.by_site();
    if sites.is_empty() {
        let from = report.stack_from.for_people();
        writeln!(out, "<p>No goroutine was blocked for {from} or more.")?;
    } else {
        let widest = sites.first().map_or(1, |group| group.sums.total.0.max(1));
        let row = |group: &Group<(Site, BlockingCause)>| {
            let (site, cause) = &group.key;
            let length = Length {
                kind: "blocked",
                from: 0,
                length: group.sums.total.0,
                name: format!("{} {}", cause.name(), group.sums.total.for_people()),
            };
            let mut row = vec![
                Cell::time(group.sums.total),
                Cell::share(group.sums.total.0, all.0),
                Cell::Bar(vec![length], widest),
                Cell::words(cause.name()),
                Cell::Folded(site_name(site), functions(&group.largest.stack)),
                Cell::words(what(group)),
            ];
            row.extend(times(&group.sums));
            row
        };
        let mut columns = vec![
            Column("total", Kind::Number, "Of all goroutines together"),
            Column("share", Kind::Number, "Of all blocked time"),
            Column("", Kind::Bar, ""),
            Column("for", Kind::Words, ""),
            Column("at", Kind::Words, "Unfolded: the costliest stack"),
            Column("what", Kind::Words, "Of the costliest stack"),
        ];
        columns.extend(TIMES);
        let rows = sites.iter().map(row).collect();
        let caption = format!("{} places, the costliest first", sites.len());
        Table { caption, columns, rows, head: 4, sorted: Some((0, true)) }.write(out)?;
    }
    without_retry(report, out)?;
    origins(report, out)?;
    idle(report, out)?;
    end(out)
}

/// Deadlines that passed.
fn without_retry(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    let waits = report.without_retry();
    let row = |group: &Group<(Site, BlockingCause)>| {
        vec![
            Cell::count(group.sums.count),
            Cell::Number(group.sums.longest.0, format!("≤ {}", group.sums.longest.for_people())),
            Cell::words(group.key.1.name()),
            Cell::Folded(site_name(&group.key.0), functions(&group.largest.stack)),
            Cell::words(what(group)),
        ]
    };
    let table = Table {
        caption: "Waits that ended without another try, by where the goroutine made its next call".to_owned(),
        columns: vec![
            Column("count", Kind::Number, ""),
            Column("longest", Kind::Number, "At most"),
            Column("for", Kind::Words, ""),
            Column("next call at", Kind::Words, ""),
            Column("what", Kind::Words, ""),
        ],
        rows: waits.iter().map(row).collect(),
        head: 3,
        sorted: None,
    };
    let count = saturating_sum(waits.iter().map(|group| group.sums.count));
    let summary =
        format!("{count} waits ended without another try: the deadline passed, or they were told to stop");
    folded(&summary, &table, out)
}

fn origins(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    let (origins, all) = (report.by_origin(), report.suffered_total());
    let table = Table {
        caption: "Blocked time by the go statement that made the goroutine".to_owned(),
        columns: vec![
            Column("total", Kind::Number, ""),
            Column("share", Kind::Number, ""),
            Column("count", Kind::Number, ""),
            Column("made at", Kind::Words, ""),
        ],
        rows: origins
            .iter()
            .map(|group| {
                vec![
                    Cell::time(group.sums.total),
                    Cell::share(group.sums.total.0, all.0),
                    Cell::count(group.sums.count),
                    Cell::words(origin_name(&group.key.frame())),
                ]
            })
            .collect(),
        head: 3,
        sorted: Some((0, true)),
    };
    folded(&format!("By the go statement that made the goroutine: {}", origins.len()), &table, out)
}

/// What has nothing to do, and what is counted apart.
fn idle(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    let row = |sums: &Sums, words: String| {
        vec![Cell::time(sums.total), Cell::count(sums.count), Cell::time(sums.longest), Cell::words(words)]
    };
    let (idle, apart) = (report.idle(), report.apart());
    let total = saturating_sum(idle.iter().map(|group| group.sums.total.0));
    let brief = report.stack_from.for_people();
    let apart = apart.iter().map(|group| {
        let words = match group.key {
            Class::Brief => format!("calls and waits of goroutines that took less than {brief}"),
            _ => "threads that run no Go code: C code's own, or not known".to_owned(),
        };
        row(&group.sums, words)
    });
    let table = Table {
        caption: "Idle, and what is counted apart".to_owned(),
        columns: vec![
            Column("total", Kind::Number, ""),
            Column("count", Kind::Number, ""),
            Column("max", Kind::Number, ""),
            Column("what", Kind::Words, ""),
        ],
        rows: idle.iter().map(|group| row(&group.sums, group.key.words().to_owned())).chain(apart).collect(),
        head: 3,
        sorted: None,
    };
    let summary =
        format!("Not counted as blocked: {} idle, and what is counted apart", Nanos(total).for_people());
    folded(&summary, &table, out)
}

pub(super) fn objects(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    let objects = report.by_object();
    let from = report.slow_from.for_people();
    if objects.is_empty() {
        return writeln!(out, "<p>Nothing is known of what waits and calls of {from} and more were on.");
    }
    let row = |(name, sums): &(String, TimeSums)| {
        vec![
            Cell::time(sums.total),
            Cell::count(sums.count),
            Cell::time(sums.longest),
            Cell::words(name.clone()),
        ]
    };
    Table {
        caption: format!("Files and peers, by waits and calls of {from} and more"),
        columns: vec![
            Column("total", Kind::Number, ""),
            Column("count", Kind::Number, ""),
            Column("max", Kind::Number, ""),
            Column("object", Kind::Words, ""),
        ],
        rows: objects.iter().map(row).collect(),
        head: 3,
        sorted: Some((0, true)),
    }
    .write(out)
}
