//! How a program started.

use std::io::{self, Write};

use super::page::{chart, end, section};
use super::table::{Cell, Column, Kind, Length, Table};
use super::{account, collector, findings};
use crate::export::text::phases::label;
use crate::export::text::shares::{parts as in_words, share};
use crate::export::{InitOrder, Text, functions};
use crate::model::{Cause, Init, Parts, Phase, PhaseName, Report, TimedFunction, findings as findings_of};
use crate::units::{Nanos, saturating_sum};

/// The first lines of the text report.
pub(super) fn heading(report: &Report) -> io::Result<Vec<String>> {
    let mut text = Vec::new();
    Text { order: InitOrder::Slowest, inits: 0, rows: 0, color: false }.heading(report, &mut text)?;
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

/// Writes the sections.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    findings::write(&findings_of(&report.timeline), out)?;
    section("timeline", "Timeline", out)?;
    chart(
        "timeline-chart",
        "The start: phases, inits, functions, waits and collections in the order of time",
        out,
    )?;
    phases(report, out)?;
    end(out)?;
    inits(report, out)?;
    beside(report, out)?;
    if let Some(gc) = &report.gc {
        collector::write(gc, out)?;
    }
    data(report, out)
}

/// From begin to end on the chart's own scale.
fn at(report: &Report, start: Nanos, length: Nanos, kind: &'static str, name: &str) -> Cell {
    let begin = report.timeline.begin;
    let length = Length { kind, from: start.since(begin).0, length: length.0, name: name.to_owned() };
    Cell::Bar(vec![length], before_main(report))
}

/// The time before `main.main`, or as much of it as was seen.
fn before_main(report: &Report) -> u64 {
    let before = report.timeline.phases.iter().filter(|phase| phase.name != PhaseName::Main);
    saturating_sum(before.map(|phase| phase.duration.0)).max(1)
}

/// Where the time went, as stretches of a bar.
fn lengths(parts: &Parts) -> Vec<Length> {
    let causes = Cause::ALL.map(|cause| ("blocked", parts.blocked_by(cause), cause.name().replace('_', " ")));
    let all = [("on_cpu", parts.on_cpu, "on a CPU".to_owned())]
        .into_iter()
        .chain([("runnable", parts.runnable, "without a CPU".to_owned())])
        .chain(causes)
        .chain([("unexplained", parts.remainder, "unexplained".to_owned())]);
    let mut from = 0;
    all.map(|(kind, time, name)| {
        let name = format!("{name} {}", time.for_people());
        let length = Length { kind, from, length: time.0, name };
        from = time.0.saturating_add(from);
        length
    })
    .collect()
}

fn phases(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let whole = before_main(report);
    let row = |phase: &Phase| {
        let mut name = label(phase.name, report.subject.linking.interpreter.is_some()).to_owned();
        if !phase.done {
            name.push_str(if phase.name == PhaseName::Main { " (so far)" } else { " (not over)" });
        }
        let is_main = phase.name == PhaseName::Main;
        let steps = phase.steps.iter().map(|step| format!("{} {}", step.name, step.duration.for_people()));
        vec![
            Cell::Folded(name.clone(), steps.collect()),
            Cell::time(phase.start.since(report.timeline.begin)),
            Cell::time(phase.duration),
            if is_main { Cell::Nothing } else { Cell::share(phase.duration.0, whole) },
            if is_main { Cell::Nothing } else { at(report, phase.start, phase.duration, "phase", &name) },
            phase.parts.as_ref().map_or(Cell::Nothing, |parts| Cell::time(parts.on_cpu)),
            phase.parts.as_ref().map_or(Cell::Nothing, |parts| Cell::time(parts.runnable)),
            phase.parts.as_ref().map_or(Cell::Nothing, |parts| Cell::time(parts.blocked())),
            Cell::words(in_words(phase.parts.as_ref(), phase.duration)),
        ]
    };
    Table {
        caption: "Phases".to_owned(),
        columns: vec![
            Column("phase", Kind::Words, ""),
            Column("at", Kind::Number, "Since the call of execve"),
            Column("took", Kind::Number, ""),
            Column("share", Kind::Number, "Of the time before main.main"),
            Column("when", Kind::Bar, ""),
            Column("on a CPU", Kind::Number, "The main thread's time on a CPU, in the kernel too"),
            Column("without one", Kind::Number, "Ready to run, without a CPU"),
            Column("blocked", Kind::Number, ""),
            Column("mostly for", Kind::Words, "What kept the main thread, the largest first"),
        ],
        rows: report.timeline.phases.iter().map(row).collect(),
        head: 0,
        sorted: None,
    }
    .write(out)
}

fn inits(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let timeline = &report.timeline;
    section("inits", "Package inits", out)?;
    if timeline.inits.is_empty() {
        writeln!(out, "<p>No package init was seen.")?;
        return end(out);
    }
    let sum = saturating_sum(timeline.inits.iter().map(|init| init.wall.0));
    let widest = timeline.inits.iter().map(|init| init.wall.0).max().unwrap_or(0).max(1);
    let mut order: Vec<(usize, &Init)> = timeline.inits.iter().enumerate().collect();
    order.sort_by_key(|(seq, init)| (std::cmp::Reverse(init.wall), *seq));
    let heap = timeline.inits.iter().any(|init| init.heap.is_some());
    writeln!(
        out,
        "<p>{} inits, {} in all. <span class=key><i class=on_cpu></i>on a CPU <i class=runnable></i>without one \
         <i class=blocked></i>blocked <i class=unexplained></i>unexplained</span>",
        timeline.inits.len(),
        Nanos(sum).for_people()
    )?;
    let mut columns = vec![
        Column("#", Kind::Number, "The order in which they ran"),
        Column("package", Kind::Words, "Unfolded: its functions"),
        Column("took", Kind::Number, "Wall time"),
        Column("share", Kind::Number, "Of all inits' time"),
        Column("where it went", Kind::Bar, ""),
        Column("at", Kind::Number, "Since the call of execve"),
        Column("on a CPU", Kind::Number, ""),
        Column("without one", Kind::Number, "Ready to run, without a CPU"),
        Column("blocked", Kind::Number, ""),
        Column("mostly for", Kind::Words, "What kept the main thread, the largest first"),
        Column("faults", Kind::Number, "Page faults"),
        Column("left", Kind::Number, "Goroutines that it started and that still ran when main.main began"),
    ];
    if heap {
        columns.push(Column("allocated", Kind::Number, "On the heap, by all goroutines"));
    }
    columns.push(Column("module", Kind::Words, ""));
    Table {
        caption: "Package inits, the slowest first".to_owned(),
        columns,
        rows: order.into_iter().map(|(seq, init)| init_row(report, seq, init, [sum, widest], heap)).collect(),
        head: 1,
        sorted: Some((2, true)),
    }
    .write(out)?;
    end(out)
}

fn init_row(report: &Report, seq: usize, init: &Init, [sum, widest]: [u64; 2], heap: bool) -> Vec<Cell> {
    let parts = init.parts.as_ref();
    let faults = parts.and_then(|parts| Some(parts.minor_faults?.saturating_add(parts.major_faults?)));
    let unfinished = if init.done { "" } else { " (not over)" };
    let bar = match parts {
        Some(parts) => Cell::Bar(lengths(parts), widest),
        None => {
            let (kind, name) = ("phase", format!("{}, unknown for what", init.wall.for_people()));
            Cell::Bar(vec![Length { kind, from: 0, length: init.wall.0, name }], widest)
        }
    };
    let importer = init.imported_by.as_ref().map(|importer| format!("imported by {importer}"));
    let mut row = vec![
        Cell::count(seq as u64),
        Cell::Folded(
            format!("{}{unfinished}", init.package()),
            init.functions.iter().map(function).chain(importer).collect(),
        ),
        Cell::time(init.wall),
        Cell::Number(init.wall.0, share(init.wall.0, sum)),
        bar,
        Cell::time(init.start.since(report.timeline.begin)),
        Cell::maybe(parts.map(|parts| parts.on_cpu)),
        Cell::maybe(parts.map(|parts| parts.runnable)),
        Cell::maybe(parts.map(Parts::blocked)),
        Cell::words(in_words(parts, init.wall)),
        faults.map_or(Cell::Nothing, Cell::count),
        init.started.map_or(Cell::Nothing, |started| Cell::count(started.at_main)),
    ];
    if heap {
        row.push(init.heap.map_or(Cell::Nothing, |heap| Cell::Number(heap.bytes, heap.to_string())));
    }
    row.push(Cell::words(init.module.clone().unwrap_or_default()));
    row
}

fn function(timed: &TimedFunction) -> String {
    let wall = timed.wall.map_or_else(|| "?".to_owned(), Nanos::for_people);
    format!("{wall}  {}", timed.function.begin())
}

/// Waits, system calls and libraries one by one, and the counts at `main.main`.
fn beside(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let timeline = &report.timeline;
    let package = |init: Option<usize>| {
        let init = init.and_then(|init| timeline.inits.get(init));
        Cell::words(init.map(Init::package).unwrap_or_default())
    };
    section("waits", "Waits and files", out)?;
    if let Some(counts) = &timeline.at_main {
        let ps = counts.ps.map_or(String::new(), |ps| format!("{ps} Ps, "));
        writeln!(
            out,
            "<p>When main.main began: {} threads, {ps}{} goroutines.",
            counts.threads, counts.goroutines
        )?;
    }
    let waits = timeline.waits.iter().map(|wait| {
        let what = wait.reason.map(str::to_owned).or_else(|| wait.syscall.clone()).unwrap_or_default();
        vec![
            Cell::time(wait.start.since(timeline.begin)),
            Cell::time(wait.duration),
            Cell::words(wait.cause.name().replace('_', " ")),
            Cell::Folded(what, functions(&wait.stack)),
            Cell::words(wait.object.clone().unwrap_or_default()),
            package(wait.init),
        ]
    });
    told(
        "Waits before main.main",
        waits.collect(),
        ["at", "took", "for", "in", "object", "init of"],
        3,
        out,
    )?;
    let libraries = timeline.libraries.iter().map(|library| {
        vec![
            Cell::time(library.start.since(timeline.begin)),
            Cell::time(library.duration),
            Cell::words(library.path.clone()),
            package(library.init),
        ]
    });
    told("Libraries mapped", libraries.collect(), ["at", "took", "library", "init of"], 2, out)?;
    let calls = timeline.calls.iter().map(|call| {
        vec![
            Cell::time(call.time.since(timeline.begin)),
            Cell::words(call.syscall),
            Cell::words(call.result.to_string()),
            Cell::words(call.object.clone()),
            package(call.init),
        ]
    });
    told(
        "Files opened and programs run",
        calls.collect(),
        ["at", "call", "result", "object", "init of"],
        3,
        out,
    )?;
    end(out)
}

/// A table of things that happened, unless there is none.
fn told<const N: usize>(
    caption: &str,
    rows: Vec<Vec<Cell>>,
    names: [&'static str; N],
    head: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let column = |name| {
        let kind = if matches!(name, "at" | "took") { Kind::Number } else { Kind::Words };
        Column(name, kind, "")
    };
    let caption = format!("{caption}: {}", rows.len());
    Table { caption, columns: names.map(column).into(), rows, head, sorted: Some((0, false)) }.write(out)
}

fn data(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    section("lacks", "What the data lack", out)?;
    let totals = report.totals();
    let words = format!(
        "{} probe hits, {} lost, {} undecodable, {} unresolved.",
        totals.hits, totals.dropped, totals.undecodable, totals.unresolved
    );
    account::verdict(totals.is_clean(), &words, out)?;
    for probe in &report.timeline.unmarked {
        writeln!(out, "<p class=bad>No mark: {probe} was passed unseen; the phases beside it are left out.")?;
    }
    let of_gc = report.gc.iter().flat_map(|gc| &gc.missing);
    account::missing(report.missing.iter().chain(of_gc), out)?;
    account::losses(&report.losses, out)?;
    end(out)
}
