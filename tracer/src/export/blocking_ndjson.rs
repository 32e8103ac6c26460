//! What a running program is blocked on, one JSON object a line: the same contract as the report of a run.

mod line;

use std::collections::HashMap;
use std::io::{self, Write};

use schemars::{Schema, SchemaGenerator};
use tracer_ebpf::wire::syscall::wait_kind;

use self::line::{Bucket, Line, Object, Origin, Times};
use super::functions;
use super::header::{Header, write_line};
use super::shared_lines::{FindingLine, MissingLine};
use crate::event::WaitKind;
use crate::event::blocking::{Caller, Key, Kind, StackTaken};
use crate::model::blocking::{BlockedNow, BlockingReport, Class, Entry, Since, SlowCall, Standing};
use crate::model::{Ending, TimeSums};
use crate::units::saturating_sum;

/// So many objects are told for each sum, the costliest.
const OBJECTS: usize = 8;

/// The schema of its lines.
pub(in crate::export) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Line<'static>>()
}

impl BlockingReport {
    /// Writes the whole report as NDJSON.
    ///
    /// # Errors
    /// Only those of the writer.
    pub fn write_ndjson(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = |line: &Line<'_>| write_line(out, line);
        line(&Line::Header(Header::of(&self.subject, self.began)))?;
        let by_key: HashMap<Key, &Entry> = self.entries.iter().map(|entry| (entry.key, entry)).collect();
        self.entries.iter().filter(|entry| has_line(entry)).try_for_each(|entry| line(&blocking(entry)))?;
        for group in self.by_cause() {
            let (times, buckets) = (Times::of(&group.sums), Bucket::of(&group.sums));
            line(&Line::BlockingByCause { cause: group.key.name(), times, buckets })?;
        }
        self.blocked_now.iter().try_for_each(|one| line(&self.blocked_now_line(one)))?;
        for group in self.by_caller() {
            let (_, caller) = group.key;
            let times = Times::of(&group.sums);
            line(&Line::Syscall { syscall: group.largest.syscall(), caller: caller_name(caller), times })?;
        }
        for group in self.idle() {
            line(&Line::Idle { class: group.key.name(), times: Times::of(&group.sums) })?;
        }
        for group in self.apart() {
            line(&Line::Idle { class: group.key.name(), times: Times::of(&group.sums) })?;
        }
        line(&self.scheduler_line())?;
        for call in &self.slow {
            line(&slow(call, by_key.get(&call.call.key).copied()))?;
        }
        for on_cpu in &self.on_cpu {
            line(&Line::OnCpu {
                count: on_cpu.count,
                caller: caller_name(on_cpu.caller),
                syscall: on_cpu.syscall.as_deref(),
                site: Origin::of_site(&on_cpu.site),
                origin: on_cpu.origin.as_ref().map(Origin::of),
                stack: functions(&on_cpu.stack),
            })?;
        }
        self.findings().iter().try_for_each(|finding| line(&Line::Finding(FindingLine::of(finding))))?;
        self.missing.iter().try_for_each(|missing| line(&Line::Missing(MissingLine::of(missing))))?;
        for loss in &self.losses.probes {
            line(&Line::Loss {
                probe: loss.probe.name(),
                hits: loss.hits,
                dropped: loss.dropped,
                by_reason: None,
            })?;
        }
        line(&self.stacks_line())?;
        if let Some(parking) = &self.parking {
            parking.write_ndjson(out)?;
        }
        if let Some(gc) = &self.gc {
            gc.write_ndjson(out)?;
        }
        write_line(out, &self.summary_line())
    }

    /// The lines of where goroutines were blocked, and of why they were parked.
    pub(super) fn blocking_lines(&self) -> io::Result<Vec<serde_json::Value>> {
        let entries = self.entries.iter().filter(|entry| has_line(entry));
        let mut lines: Vec<_> =
            entries.map(|entry| serde_json::to_value(blocking(entry))).collect::<Result<_, _>>()?;
        if let Some(parking) = &self.parking {
            lines.extend(parking.blocking_lines()?);
        }
        Ok(lines)
    }

    fn blocked_now_line<'a>(&'a self, one: &'a BlockedNow) -> Line<'a> {
        let since = one.since.map(Since::time);
        let standing = one.standing();
        Line::BlockedNow {
            goid: one.goid,
            state: &one.state,
            class: standing.name(),
            idle: match standing {
                Standing::Idle(idle) => Some(idle.name()),
                _ => None,
            },
            wait_reason: one.wait_reason.as_deref(),
            tid: one.tid,
            syscall: one.syscall.as_deref(),
            fd: one.fd,
            object: one.object.as_deref(),
            since_ns: since,
            for_ns: since.map(|since| self.ended.since(since)),
            since_is_exact: one.since.map(Since::is_exact),
            origin: one.origin.as_ref().map(Origin::of),
            stack: functions(&one.stack),
        }
    }

    fn scheduler_line(&self) -> Line<'_> {
        let scheduler = &self.scheduler;
        let threads = scheduler.threads;
        Line::Scheduler {
            threads_made: threads.all(),
            threads_for_blocking: threads.for_blocking,
            threads_for_work: threads.for_work,
            threads_by_c: threads.by_c,
            threads_unknown: threads.unknown,
            children: scheduler.children,
            calls_past_20us: scheduler.past_fast_tick,
            calls_past_10ms: scheduler.past_slow_tick,
            poller: Times::of(&scheduler.poller),
            poller_waits: scheduler.poller_waits,
        }
    }

    fn stacks_line(&self) -> Line<'_> {
        let taken = self.entries.iter().filter(|entry| entry.key.stack != StackTaken::TooShort);
        let by_reason = self.losses.stacks.iter().map(|(loss, count)| (loss.name(), *count)).collect();
        Line::Loss {
            probe: "stacks",
            hits: saturating_sum(taken.map(|entry| entry.sums.count)),
            dropped: self.losses.lost_stacks(),
            by_reason: Some(by_reason),
        }
    }

    fn summary_line(&self) -> Line<'_> {
        let (ended, exit_code, signal, replaced_by) = match &self.ending {
            Ending::Running => ("running", None, None, None),
            Ending::Exited(code) => ("exited", Some(*code), None, None),
            Ending::Killed(signal) => ("killed", None, Some(*signal), None),
            Ending::Gone => ("gone", None, None, None),
            Ending::Replaced(by) => ("replaced", None, None, Some(by.as_str())),
        };
        let losses = &self.losses;
        Line::Summary {
            to_main_ns: None,
            to_ready_ns: None,
            ended,
            exit_code,
            signal,
            replaced_by,
            end_ns: self.ended,
            span_ns: self.span(),
            suffered_ns: self.suffered_total(),
            blocked_now: self.blocked_now.len(),
            calls: losses.calls,
            joined: losses.joined,
            unknown_callers: losses.unknown_callers,
            slow: self.slow_count,
            slow_untold: losses.untold_objects,
            events: saturating_sum(losses.probes.iter().map(|loss| loss.hits.saturating_sub(loss.dropped))),
            dropped: losses.dropped(),
            undecodable: losses.undecodable,
            complete: losses.is_complete(),
            target_overhead_ns: None,
        }
    }
}

/// What is only a number has its line in the sums by system call.
fn has_line(entry: &Entry) -> bool {
    entry.key.caller != Caller::Runtime && entry.key.stack != StackTaken::TooShort
}

fn blocking(entry: &Entry) -> Line<'_> {
    let worst = entry.worst.as_ref();
    let is_wait = entry.key.kind != Kind::Call;
    let mut objects: Vec<(&String, &TimeSums)> = entry.objects.iter().collect();
    objects.sort_by_key(|(name, sums)| (std::cmp::Reverse(sums.total), *name));
    Line::Blocking {
        kind: kind_name(&entry.key),
        class: entry.class.name(),
        idle: match entry.class {
            Class::Idle(idle) => Some(idle.name()),
            _ => None,
        },
        cause: entry.cause.name(),
        syscall: entry.syscall(),
        caller: caller_name(entry.key.caller),
        retried: is_wait.then_some(entry.key.kind == Kind::NetworkWait),
        fd: worst.and_then(|worst| worst.fd),
        object: worst.and_then(|worst| worst.object.as_deref()),
        object_type: entry.object_type(),
        goid: worst.and_then(|worst| worst.call.goid),
        times: Times::of(&entry.sums),
        objects: objects.into_iter().take(OBJECTS).map(Object::of).collect(),
        site: Origin::of_site(&entry.site),
        site_is: entry.site.name(),
        origin: entry.origin.as_ref().map(Origin::of),
        stack: functions(&entry.stack),
    }
}

fn slow<'a>(slow: &'a SlowCall, entry: Option<&'a Entry>) -> Line<'a> {
    let key = &slow.call.key;
    Line::Slow {
        end_ns: slow.end,
        duration_ns: slow.call.duration,
        kind: kind_name(key),
        class: entry.map(|entry| entry.class.name()),
        cause: entry.map(|entry| entry.cause.name()),
        syscall: entry.map(Entry::syscall),
        syscall_number: key.syscall,
        retried: (key.kind != Kind::Call).then_some(key.kind == Kind::NetworkWait),
        tid: slow.tid,
        goid: slow.call.goid,
        fd: slow.fd,
        object: slow.object.as_deref(),
        result: slow.call.result,
        arguments: slow.call.arguments,
        site: entry.and_then(|entry| Origin::of_site(&entry.site)),
        stack: entry.map_or_else(Vec::new, |entry| functions(&entry.stack)),
    }
}

/// How it was spent, as the contract has it.
pub(super) fn kind_name(key: &Key) -> &'static str {
    if key.kind != Kind::Call {
        return "netpoll";
    }
    match wait_kind(key.syscall) {
        WaitKind::Futex => "futex",
        WaitKind::Sleep => "sleep",
        _ => "syscall",
    }
}

pub(super) fn caller_name(caller: Caller) -> &'static str {
    match caller {
        Caller::Unknown => "unknown",
        Caller::Runtime => "runtime",
        Caller::Goroutine => "goroutine",
    }
}
