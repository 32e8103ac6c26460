//! What the garbage collector did.

use std::io::{self, Write};

use anstyle::Style;

use super::markup::Words;
use super::page::{chart, end, section};
use super::table::{Cell, Column, Kind, Table};
use crate::export::functions;
use crate::export::gc::text::{meanwhile, words};
use crate::model::TimeSums;
use crate::model::gc::{AssistSite, GcReport, Incident, ToldCycle, Trigger, WorldStop, megabytes};

/// Writes the section.
pub(super) fn write(gc: &GcReport, out: &mut dyn Write) -> io::Result<()> {
    section("gc", "Garbage collector", out)?;
    writeln!(out, "<p><b>{}</b>", Words(&gc.verdict()))?;
    if let Some(refused) = &gc.refused {
        writeln!(out, "<p class=bad>The runtime's figures contradict one another: {}", Words(refused))?;
        return end(out);
    }
    let mut heap = Vec::new();
    gc.write_heap(Style::new(), &mut heap)?;
    if !heap.is_empty() {
        writeln!(out, "<p>{}", Words(String::from_utf8_lossy(&heap).trim()))?;
    }
    chart("gc-chart", "Collections, stops of the world and incidents in the order of time", out)?;
    chart("heap-chart", "The heap at each collection", out)?;
    incidents(&gc.incidents, out)?;
    assists(gc, out)?;
    reasons(gc, out)?;
    cycles(gc, out)?;
    stops(gc, out)?;
    end(out)
}

fn incidents(incidents: &[Incident], out: &mut dyn Write) -> io::Result<()> {
    if incidents.is_empty() {
        return Ok(());
    }
    let mut longest: Vec<&Incident> = incidents.iter().collect();
    longest.sort_by_key(|incident| std::cmp::Reverse(incident.duration));
    let row = |incident: &Incident| {
        vec![
            Cell::time(incident.duration),
            Cell::words(incident.kind.name()),
            Cell::words(words(incident.verdict)),
            Cell::Folded(incident.text.clone(), incident.blocked.iter().map(meanwhile).collect()),
        ]
    };
    Table {
        caption: "What took long, and why".to_owned(),
        columns: vec![
            Column("took", Kind::Number, ""),
            Column("what", Kind::Words, ""),
            Column("verdict", Kind::Words, ""),
            Column("evidence", Kind::Words, "Unfolded: who was blocked meanwhile"),
        ],
        rows: longest.into_iter().map(row).collect(),
        head: 3,
        sorted: Some((0, true)),
    }
    .write(out)
}

fn assists(gc: &GcReport, out: &mut dyn Write) -> io::Result<()> {
    let sites = gc.assist_sites();
    if sites.is_empty() {
        return Ok(());
    }
    let row = |AssistSite { site, stack, count, cpu, .. }: &AssistSite| {
        let place = site.place().map_or("(place not known)".to_owned(), |place| place.frame().to_string());
        vec![
            Cell::time(*cpu),
            Cell::share(cpu.0, gc.totals.assist.0),
            Cell::count(*count),
            Cell::Folded(place, functions(stack)),
        ]
    };
    Table {
        caption: "Who was made to help with marking".to_owned(),
        columns: vec![
            Column("CPU time", Kind::Number, ""),
            Column("share", Kind::Number, "Of all assists"),
            Column("times", Kind::Number, ""),
            Column("allocating at", Kind::Words, ""),
        ],
        rows: sites.iter().map(row).collect(),
        head: 3,
        sorted: Some((0, true)),
    }
    .write(out)
}

fn reasons(gc: &GcReport, out: &mut dyn Write) -> io::Result<()> {
    if gc.totals.stops.is_empty() {
        return Ok(());
    }
    let row = |(reason, sums): (&String, &TimeSums)| {
        vec![
            Cell::words(reason.clone()),
            Cell::count(sums.count),
            Cell::time(sums.total),
            Cell::time(sums.longest),
        ]
    };
    Table {
        caption: "For what the world was stopped".to_owned(),
        columns: vec![
            Column("reason", Kind::Words, ""),
            Column("times", Kind::Number, ""),
            Column("total", Kind::Number, ""),
            Column("longest", Kind::Number, ""),
        ],
        rows: gc.totals.stops.iter().map(row).collect(),
        head: 0,
        sorted: None,
    }
    .write(out)?;
    match (gc.totals.untold_cycles, gc.totals.untold_stops) {
        (0, 0) => Ok(()),
        (cycles, stops) => {
            writeln!(
                out,
                "<p class=cut>{cycles} older cycles and {stops} older stops are in these sums alone."
            )
        }
    }
}

fn cycles(gc: &GcReport, out: &mut dyn Write) -> io::Result<()> {
    let row = |ToldCycle { cycle, trigger, charged, .. }: &ToldCycle| {
        let during = charged.as_ref().map(|charged| charged.package.clone().unwrap_or_default());
        vec![
            Cell::count(u64::from(cycle.number)),
            Cell::time(cycle.start.since(gc.began)),
            Cell::words(trigger.map_or("?", Trigger::name)),
            Cell::time(cycle.duration()),
            Cell::time(cycle.sweep_term),
            Cell::time(cycle.mark),
            Cell::time(cycle.mark_term),
            Cell::time(cycle.cpu()),
            Cell::time(cycle.assist),
            Cell::Number(cycle.heap_start, megabytes(cycle.heap_start)),
            Cell::Number(cycle.heap_live, megabytes(cycle.heap_live)),
            Cell::Number(cycle.heap_goal, megabytes(cycle.heap_goal)),
            during.map_or(Cell::Nothing, Cell::words),
        ]
    };
    folded(
        &format!("{} cycles", gc.cycles.len()),
        &Table {
            caption: "Cycles".to_owned(),
            columns: vec![
                Column("cycle", Kind::Number, ""),
                Column("at", Kind::Number, "Since the report's begin"),
                Column(
                    "because",
                    Kind::Words,
                    "heap: it had grown; periodic: none for two minutes; manual: asked for",
                ),
                Column("took", Kind::Number, ""),
                Column("first stop", Kind::Number, "Sweep termination"),
                Column("marking", Kind::Number, "While the program went on"),
                Column("second stop", Kind::Number, "Mark termination"),
                Column("CPU time", Kind::Number, "Of the collector, without idle workers"),
                Column("assists", Kind::Number, "CPU time of goroutines that were made to help"),
                Column("heap before", Kind::Number, ""),
                Column("live", Kind::Number, ""),
                Column("goal", Kind::Number, ""),
                Column("init of", Kind::Words, ""),
            ],
            rows: gc.cycles.iter().map(row).collect(),
            head: 0,
            sorted: Some((0, false)),
        },
        out,
    )
}

fn stops(gc: &GcReport, out: &mut dyn Write) -> io::Result<()> {
    let row = |stop: &WorldStop| {
        let site = stop.site.place().map_or_else(String::new, |place| place.frame().to_string());
        let holder = stop.holder.as_ref().map(|holder| {
            let place =
                holder.site.place().map_or_else(String::new, |place| format!(" at {}", place.frame()));
            format!("goroutine {}{place}", holder.seen.goid)
        });
        vec![
            Cell::maybe(stop.start.map(|start| start.since(gc.began))),
            Cell::words(stop.reason.name()),
            Cell::maybe(stop.total),
            Cell::maybe(stop.stopping),
            Cell::Folded(site, functions(&stop.stack)),
            Cell::words(holder.unwrap_or_default()),
        ]
    };
    folded(
        &format!("{} stops of the world", gc.stops.len()),
        &Table {
            caption: "Stops of the world".to_owned(),
            columns: vec![
                Column("at", Kind::Number, "Since the report's begin"),
                Column("for", Kind::Words, ""),
                Column("took", Kind::Number, ""),
                Column("to stop", Kind::Number, "Until every P had stopped"),
                Column("asked for at", Kind::Words, ""),
                Column("held up by", Kind::Words, ""),
            ],
            rows: gc.stops.iter().map(row).collect(),
            head: 1,
            sorted: Some((0, false)),
        },
        out,
    )
}

/// A table that is there for who looks for it.
pub(super) fn folded(summary: &str, table: &Table, out: &mut dyn Write) -> io::Result<()> {
    if table.rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "<details><summary>{}</summary>", Words(summary))?;
    table.write(out)?;
    writeln!(out, "</details>")
}
