//! What a running program was seen to do: its slow calls and waits one by one, who was woken by whom, who is blocked
//! still, the collector.

use std::collections::HashMap;
use std::io;

use super::args::Args;
use super::collector;
use super::event::Writer;
use super::goroutines::Goroutines;
use super::track::{Owner, Slice, Tracks};
use super::wakeups;
use crate::event::blocking::{Key, Kind};
use crate::model::blocking::{BlockedNow, BlockingReport, Class, Entry, Since, SlowCall, Standing};
use crate::model::syscall_name;
use crate::units::Nanos;

/// Writes the events of a running program.
pub(super) fn write(report: &BlockingReport, writer: &mut Writer<'_>) -> io::Result<()> {
    let slow = report.slow.iter().filter_map(|call| call.call.goid);
    let now = report.blocked_now.iter().map(|one| one.goid);
    let held = report.gc.iter().flat_map(collector::goroutines);
    let woken = report.parking.iter().flat_map(wakeups::goroutines);
    let mut tracks = Tracks::beside(slow.chain(now).chain(held).chain(woken));
    let held = match &report.gc {
        Some(gc) => collector::write(gc, &mut tracks, writer)?,
        None => Vec::new(),
    };
    let by_key: HashMap<Key, &Entry> = report.entries.iter().map(|entry| (entry.key, entry)).collect();
    let mut goroutines = Goroutines::default();
    for call in &report.slow {
        let entry = by_key.get(&call.call.key).copied();
        let owner = call.call.goid.map_or(Owner::Thread(call.tid), Owner::Goroutine);
        let origin = entry.and_then(|entry| entry.origin.as_ref());
        let is_idle = entry.is_some_and(|entry| matches!(entry.class, Class::Idle(_)));
        goroutines.add(owner, origin, slow_slice(call, entry), is_idle);
    }
    for one in &report.blocked_now {
        let (owner, origin) = (Owner::Goroutine(one.goid), one.origin.as_ref());
        let (name, args) = (name_of(one), Args::BlockedNow(one));
        let is_idle = matches!(one.standing(), Standing::Idle(_));
        match one.since.map(Since::time) {
            Some(since) => {
                let end = report.ended.max(since);
                let slice = Slice { start: since, end, name, category: one.standing().name(), args };
                goroutines.add(owner, origin, slice, is_idle);
            }
            None => goroutines.add_instant(owner, origin, report.ended, name, args.to_json(), is_idle),
        }
    }
    if let Some(parking) = &report.parking {
        wakeups::add(parking, report.began, &mut goroutines);
    }
    held.into_iter().for_each(|held| goroutines.add_held(held));
    goroutines.write(&mut tracks, writer)
}

fn begin(call: &SlowCall) -> Nanos {
    call.end.since(call.call.duration)
}

fn slow_slice<'a>(call: &'a SlowCall, entry: Option<&'a Entry>) -> Slice<'a> {
    let syscall = syscall_name(call.call.key.syscall);
    let wait = if call.call.key.kind == Kind::Call { "" } else { "wait: " };
    let object = call.object.as_deref().map_or(String::new(), |object| format!(", {object}"));
    Slice {
        start: begin(call),
        end: call.end,
        name: format!("{wait}{syscall}{object}"),
        category: entry.map_or("unknown", |entry| entry.cause.name()),
        args: Args::Slow(call, entry),
    }
}

fn name_of(one: &BlockedNow) -> String {
    let what = one.wait_reason.as_deref().or(one.syscall.as_deref()).unwrap_or(&one.state);
    let object = one.object.as_deref().map_or(String::new(), |object| format!(", {object}"));
    let since = if one.since.is_none() { ", since when is not known" } else { "" };
    format!("{what}{object} (goes on{since})")
}
