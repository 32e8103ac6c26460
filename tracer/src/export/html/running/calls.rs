//! Where the program runs, every system call, and what the calls do to the scheduler.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};

use super::super::collector::folded;
use super::super::page::{end, section};
use super::super::table::{Cell, Column, Kind, Table};
use super::{TIMES, times};
use crate::event::blocking::Caller;
use crate::export::blocking_text::site_name;
use crate::model::blocking::{BlockingReport, Group, Site};
use crate::units::saturating_sum;

/// On a CPU, every system call, the scheduler.
pub(super) fn rest(report: &BlockingReport, out: &mut dyn Write) -> io::Result<()> {
    section("calls", "On a CPU, and every system call", out)?;
    let samples = saturating_sum(report.on_cpu.iter().map(|on_cpu| on_cpu.count));
    let mut by_site: HashMap<&Site, u64> = HashMap::new();
    for on_cpu in &report.on_cpu {
        let count = by_site.entry(&on_cpu.site).or_default();
        *count = count.saturating_add(on_cpu.count);
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
    folded(&format!("{} system calls", calls.len()), &table, out)
}
