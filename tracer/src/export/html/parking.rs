//! Why goroutines did not run.

use std::io::{self, Write};

use anstyle::Style;

use super::markup::Words;
use super::page::{end, section};
use super::running::{TIMES, times};
use super::table::{Cell, Column, Kind, Table};
use crate::export::parking::text::{place, write_overhead};
use crate::model::parking::ParkingReport;

/// Writes the section.
pub(super) fn write(parking: &ParkingReport, out: &mut dyn Write) -> io::Result<()> {
    section("parked", "Why goroutines waited", out)?;
    let (rows, idle) = parking.rows();
    if rows.is_empty() {
        writeln!(out, "<p>None was parked and ran again.")?;
    } else {
        let rows = rows.iter().map(|((site, reason), row)| {
            let mut cells = vec![
                Cell::time(row.sums.total),
                Cell::words(*reason),
                Cell::words(place(site)),
                Cell::words(row.woken_by()),
                Cell::time(row.runnable),
            ];
            cells.extend(times(&row.sums));
            cells.push(Cell::count(row.sums.joined));
            cells
        });
        let mut columns = vec![
            Column("total", Kind::Number, "Of all goroutines together"),
            Column("for", Kind::Words, "In the runtime's words"),
            Column("at", Kind::Words, ""),
            Column("woken by", Kind::Words, ""),
            Column("without a P", Kind::Number, "Ready to run, without a P"),
        ];
        columns.extend(TIMES);
        columns.push(Column("begun before", Kind::Number, "Parked before gotrace came: without their time"));
        let caption = "Parked goroutines by place and reason, the longest first".to_owned();
        Table { caption, columns, rows: rows.collect(), head: 2, sorted: Some((0, true)) }.write(out)?;
    }
    if idle.count > 0 || idle.joined > 0 {
        writeln!(
            out,
            "<p>With nothing to do (accept loops, idle connections, the collector's workers): {}, {} times.",
            idle.total.for_people(),
            idle.count
        )?;
    }
    let mut cost = Vec::new();
    write_overhead(&parking.overhead, parking.undecodable, [Style::new(); 2], &mut cost)?;
    for line in String::from_utf8_lossy(&cost).lines().filter(|line| !line.is_empty()) {
        writeln!(out, "<p class=detail>{}", Words(line.trim()))?;
    }
    end(out)
}
