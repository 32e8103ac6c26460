//! What a running program was seen to do.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};

use super::page::{chart, end, section};
use super::table::{Cell, Column, Kind, Length, Table};
use super::{account, collector, findings, parking};
use crate::event::blocking::Caller;
use crate::export::BlockingText;
use crate::export::blocking_text::sites::what;
use crate::export::blocking_text::{origin_name, site_name};
use crate::model::blocking::{
    BlockedGroup, BlockingCause, BlockingReport, Class, Group, Site, Standing, Sums,
};
use crate::target::gobin::Frame;
use crate::units::Nanos;

/// The first lines of the text report.
pub(super) fn heading(report: &BlockingReport) -> io::Result<Vec<String>> {
    let mut text = Vec::new();
    BlockingText { rows: 0, color: false }.heading(report, &mut text)?;
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

/// Writes the sections.
pub(super) fn write(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    findings::write(report.all_findings().into_iter(), out)?;
    sites(report, out)?;
    section("flame", "Flame graph", out)?;
    chart("flame-chart", "Stacks, the outermost function at the top; widths are time or samples", out)?;
    end(out)?;
    blocked_now(report, out)?;
    section("objects", "What was waited for", out)?;
    objects(report, out)?;
    end(out)?;
    section("slow", "The slowest calls, in the order of time", out)?;
    chart("slow-chart", "The slowest calls and waits, with the collector's cycles and stops", out)?;
    end(out)?;
    if let Some(gc) = &report.gc {
        collector::write(gc, out)?;
    }
    if let Some(parking) = &report.parking {
        parking::write(parking, out)?;
    }
    rest(report, out)?;
    data(report, out)
}

fn frames(stack: &[Frame]) -> Vec<String> {
    stack.iter().map(ToString::to_string).collect()
}

/// How often and how long: count, median, 99th percentile and maximum.
pub(super) fn times(sums: &Sums) -> [Cell; 4] {
    let longest = sums.longest.for_people();
    let longest = if sums.longest_is_bound { format!("≤ {longest}") } else { longest };
    [
        Cell::count(sums.count),
        Cell::maybe(sums.quantile(500)),
        Cell::maybe(sums.quantile(990)),
        Cell::Number(sums.longest.0, longest),
    ]
}

/// Their columns.
pub(super) const TIMES: [Column; 4] = [
    Column("count", Kind::Number, ""),
    Column("p50 ≤", Kind::Number, "The end of the histogram's bucket: up to a quarter too long"),
    Column("p99 ≤", Kind::Number, "The end of the histogram's bucket: up to a quarter too long"),
    Column("max", Kind::Number, ""),
];

fn sites(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
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
                Cell::Folded(site_name(site), frames(&group.largest.stack)),
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
            Cell::Folded(site_name(&group.key.0), frames(&group.largest.stack)),
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
    let count: u64 = waits.iter().map(|group| group.sums.count).sum();
    let summary =
        format!("{count} waits ended without another try: the deadline passed, or they were told to stop");
    collector::folded(&summary, table, out)
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
    collector::folded(&format!("By the go statement that made the goroutine: {}", origins.len()), table, out)
}

/// What has nothing to do, and what is counted apart.
fn idle(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    let row = |sums: &Sums, words: String| {
        vec![Cell::time(sums.total), Cell::count(sums.count), Cell::time(sums.longest), Cell::words(words)]
    };
    let (idle, apart) = (report.idle(), report.apart());
    let total: u64 = idle.iter().map(|group| group.sums.total.0).sum();
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
    collector::folded(&summary, table, out)
}

fn blocked_now(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    section("now", "Blocked at the end", out)?;
    let groups = &report.blocked_groups;
    let count = |wanted: fn(&BlockedGroup) -> bool| -> u64 {
        groups.iter().filter(|group| wanted(group)).map(|group| group.count).sum()
    };
    writeln!(
        out,
        "<p>{} in calls and waits, {} parked by the program, {} idle.",
        count(|group| group.standing == Standing::Suffered),
        count(|group| group.standing == Standing::Parked),
        count(|group| matches!(group.standing, Standing::Idle(_)))
    )?;
    let row = |group: &BlockedGroup| {
        let longest = &group.longest;
        let lasts = longest.since.map_or(Cell::Nothing, |since| {
            let time = report.ended.since(since.time());
            let sign = if since.is_exact() { "" } else { "≥ " };
            Cell::Number(time.0, format!("{sign}{}", time.for_people()))
        });
        let mut stack = frames(&longest.stack);
        stack.extend(longest.origin.as_ref().map(|origin| format!("made at {}", origin_name(origin))));
        vec![
            lasts,
            Cell::count(group.count),
            Cell::words(longest.syscall.as_deref().or(longest.wait_reason).unwrap_or("a system call")),
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
    collector::folded("Parked by the program, and idle", table(others, "Parked and idle goroutines"), out)?;
    end(out)
}

fn objects(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    let objects = report.by_object();
    let from = report.slow_from.for_people();
    if objects.is_empty() {
        return writeln!(out, "<p>Nothing is known of what waits and calls of {from} and more were on.");
    }
    let row = |(name, sums): &(String, crate::model::blocking::ObjectSums)| {
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

/// On a CPU, every system call, the scheduler.
fn rest(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    section("calls", "On a CPU, and every system call", out)?;
    let samples: u64 = report.on_cpu.iter().map(|on_cpu| on_cpu.count).sum();
    let mut by_site: HashMap<&Site, u64> = HashMap::new();
    for on_cpu in &report.on_cpu {
        *by_site.entry(&on_cpu.site).or_default() += on_cpu.count;
    }
    let mut by_site: Vec<_> = by_site.into_iter().collect();
    by_site.sort_by_key(|(site, count)| (Reverse(*count), *site));
    let row = |(site, count): (&Site, u64)| {
        vec![Cell::count(count), Cell::share(count, samples), Cell::words(site_name(site))]
    };
    if samples > 0 {
        Table {
            caption: format!("On a CPU: {samples} samples"),
            columns: vec![
                Column("samples", Kind::Number, ""),
                Column("share", Kind::Number, ""),
                Column("at", Kind::Words, ""),
            ],
            rows: by_site.into_iter().map(row).collect(),
            head: 2,
            sorted: Some((0, true)),
        }
        .write(out)?;
    }
    syscalls(report, out)?;
    let scheduler = &report.scheduler;
    let threads = scheduler.threads;
    writeln!(
        out,
        "<p>Threads made: {}, of them {} because of calls that block, {} for more work, {} by C code, {} unknown; children: {}.\n\
         <p>Calls of goroutines that sysmon may have taken the P of: at most {}, {} of them 10.5 ms and longer. \
         Network poller: {} calls, of them {} that waited, {} in all.",
        threads.all(),
        threads.for_blocking,
        threads.for_work,
        threads.by_c,
        threads.unknown,
        scheduler.children,
        scheduler.past_fast_tick,
        scheduler.past_slow_tick,
        scheduler.poller.count,
        scheduler.poller_waits,
        scheduler.poller.total.for_people()
    )?;
    end(out)
}

fn syscalls(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    let (calls, callers) = (report.by_syscall(), report.by_caller());
    let row = |group: &Group<u64>| {
        let by = |caller: Caller| {
            let of_caller = callers.iter().find(|other| other.key == (group.key, caller));
            Cell::count(of_caller.map_or(0, |other| other.sums.count))
        };
        let mut row = vec![Cell::words(group.largest.syscall()), Cell::time(group.sums.total)];
        row.extend(times(&group.sums));
        row.extend([Cell::count(group.sums.errors), Cell::count(group.sums.joined)]);
        row.extend([Caller::Goroutine, Caller::Runtime, Caller::Unknown].map(by));
        row
    };
    let mut columns = vec![Column("call", Kind::Words, ""), Column("total", Kind::Number, "")];
    columns.extend(TIMES);
    columns.extend([
        Column("errors", Kind::Number, ""),
        Column("begun before", Kind::Number, "Counted, without their time"),
        Column("by goroutines", Kind::Number, ""),
        Column("by the runtime", Kind::Number, ""),
        Column("unknown", Kind::Number, "Of threads of which it cannot be told what they ran"),
    ]);
    let table = Table {
        caption: "System calls".to_owned(),
        columns,
        rows: calls.iter().map(row).collect(),
        head: 0,
        sorted: Some((1, true)),
    };
    collector::folded(&format!("{} system calls", calls.len()), table, out)
}

fn data(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    section("lacks", "What the data lack", out)?;
    let losses = &report.losses;
    let by_reason: Vec<String> =
        losses.stacks.iter().map(|(loss, count)| format!("{count} {}", loss.name())).collect();
    let reasons = if by_reason.is_empty() { String::new() } else { format!(" ({})", by_reason.join(", ")) };
    let words = format!(
        "{} calls; lost: {}, undecodable: {}, without their stack: {}{reasons}. By whom is unknown: {}; begun before \
         gotrace came: {}; slow calls {}, without a place for their object {}.",
        losses.calls,
        losses.dropped(),
        losses.undecodable,
        losses.lost_stacks(),
        losses.unknown_callers,
        losses.joined,
        report.slow_count,
        losses.untold_objects
    );
    account::verdict(losses.is_complete(), &words, out)?;
    let of_gc = report.gc.iter().flat_map(|gc| &gc.missing);
    let of_parking = report.parking.iter().flat_map(|parking| &parking.missing);
    account::missing(report.missing.iter().chain(of_gc).chain(of_parking), out)?;
    account::losses(&losses.probes, out)?;
    end(out)
}
