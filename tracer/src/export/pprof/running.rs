//! A running program: where its goroutines were blocked, as in Go's own block profile, or where it was on a CPU, as in
//! Go's own CPU profile.

use std::sync::Arc;

use super::super::FlameOf;
use super::super::blocking_ndjson::{caller_name, kind_name};
use super::builder::Builder;
use super::proto::Label;
use crate::model::blocking::{BlockingReport, Entry, Group, Sums};
use crate::model::parking::WokenBy;
use crate::target::gobin::Frame;

/// The types of Go's block profile (runtime/pprof, `writeProfileInternal`).
const BLOCKED: [(&str, &str); 2] = [("contentions", "count"), ("delay", "nanoseconds")];

/// The types of Go's CPU profile (runtime/pprof, `newProfileBuilder`).
const ON_CPU: [(&str, &str); 2] = [("samples", "count"), ("cpu", "nanoseconds")];

/// As in the block profile, where Go has what is blocked on channels and locks; of it, when they could have run.
const PARKED: [(&str, &str); 3] = [BLOCKED[0], BLOCKED[1], ("runnable", "nanoseconds")];

/// Go has no such profile.
const ASSISTS: [(&str, &str); 2] = [("assists", "count"), ("assist_cpu", "nanoseconds")];

/// Of what is asked for.
pub(super) fn profile(report: &BlockingReport, of: FlameOf) -> Builder {
    let mut builder = match of {
        FlameOf::Blocked => blocked(report),
        FlameOf::OnCpu => on_cpu(report),
        FlameOf::Parked => parked(report),
        FlameOf::Assists => assists(report),
    };
    losses(report, &mut builder);
    builder
}

fn blocked(report: &BlockingReport) -> Builder {
    let mut builder = Builder::new(&report.subject, &BLOCKED, "delay");
    builder.lasted(report.span().0, BLOCKED[0], 1);
    for entry in report.suffered() {
        let stack = stack(&mut builder, &entry.stack);
        let (mut count, mut time) = (entry.sums.count, entry.sums.total.0);
        for (name, sums) in &entry.objects {
            let part = [sums.count.min(count), sums.total.0.min(time)];
            (count, time) = (count - part[0], time - part[1]);
            let labels = of_entry(&mut builder, entry, Some(name));
            builder.add(&stack, &labels, &part);
        }
        let labels = of_entry(&mut builder, entry, None);
        builder.add(&stack, &labels, &[count, time]);
    }
    let idle =
        report.idle().into_iter().map(|group| left_out(&format!("idle ({})", group.key.name()), &group));
    let apart = report.apart().into_iter().map(|group| left_out(group.key.name(), &group));
    let unsure = report.without_retry();
    let unsure = unsure.iter().map(|group| left_out("waits without another try, at most", group));
    let all: Vec<String> = idle.chain(apart).chain(unsure).collect();
    if !all.is_empty() {
        builder.comment(&format!("left out: {}", all.join(", ")));
    }
    builder
}

fn of_entry(builder: &mut Builder, entry: &Entry, object: Option<&str>) -> Vec<Label> {
    let origin = entry.origin.as_ref().map(ToString::to_string);
    builder.labels(&[
        ("cause", Some(entry.cause.name())),
        ("kind", Some(kind_name(&entry.key))),
        ("syscall", Some(&entry.syscall())),
        ("object", object),
        ("object_type", entry.object_type()),
        ("origin", origin.as_deref()),
    ])
}

/// What is known and in no sample.
fn left_out<K>(what: &str, group: &Group<K>) -> String {
    format!("{what} {} ({}×)", group.sums.total.for_people(), group.sums.count)
}

fn on_cpu(report: &BlockingReport) -> Builder {
    let period = 1_000_000_000 / report.frequency.max(1);
    let mut builder = Builder::new(&report.subject, &ON_CPU, "cpu");
    builder.lasted(report.span().0, ON_CPU[1], period);
    for samples in &report.on_cpu {
        let stack = stack(&mut builder, &samples.stack);
        let origin = samples.origin.as_ref().map(ToString::to_string);
        let labels = builder.labels(&[
            ("caller", Some(caller_name(samples.caller))),
            ("syscall", samples.syscall.as_deref()),
            ("origin", origin.as_deref()),
        ]);
        builder.add(&stack, &labels, &[samples.count, samples.count.saturating_mul(period)]);
    }
    builder
}

fn parked(report: &BlockingReport) -> Builder {
    let mut builder = Builder::new(&report.subject, &PARKED, "delay");
    builder.lasted(report.span().0, PARKED[0], 1);
    let Some(parking) = &report.parking else { return builder };
    for parked in parking.suffered() {
        let stack = stack(&mut builder, &parked.stack);
        let origin = parked.origin.as_ref().map(ToString::to_string);
        let waker = match &parked.woken_by {
            WokenBy::Goroutine(origin) => origin.as_ref().map(ToString::to_string),
            _ => None,
        };
        let labels = builder.labels(&[
            ("wait_reason", Some(&parked.reason)),
            ("waker", Some(parked.woken_by.name())),
            ("waker_origin", waker.as_deref()),
            ("origin", origin.as_deref()),
        ]);
        let Sums { count, total, .. } = parked.sums;
        builder.add(&stack, &labels, &[count, total.0, parked.runnable.0]);
    }
    if parking.overhead.sampled.is_some() {
        builder
            .comment("INCOMPLETE: to keep to --max-overhead not all goroutines were followed all the time");
    }
    if let Some(detached) = &parking.overhead.detached {
        builder.comment(&format!(
            "INCOMPLETE: nothing was followed after {}",
            detached.at.since(report.began).for_people()
        ));
    }
    builder
}

fn assists(report: &BlockingReport) -> Builder {
    let mut builder = Builder::new(&report.subject, &ASSISTS, ASSISTS[1].0);
    builder.lasted(report.span().0, ASSISTS[1], 1);
    for assist in report.gc.iter().flat_map(|gc| &gc.assists) {
        let stack = stack(&mut builder, &assist.stack);
        let origin = assist.origin.as_ref().map(ToString::to_string);
        let labels = builder.labels(&[("origin", origin.as_deref())]);
        builder.add(&stack, &labels, &[assist.count, assist.cpu.0]);
    }
    builder
}

fn stack(builder: &mut Builder, frames: &[Arc<Frame>]) -> Vec<u64> {
    if frames.is_empty() { vec![builder.stands_for("(no stack)")] } else { builder.stack(frames) }
}

fn losses(report: &BlockingReport, builder: &mut Builder) {
    let losses = &report.losses;
    let (dropped, stacks, undecodable) = (losses.dropped(), losses.lost_stacks(), losses.undecodable);
    let verdict = if losses.is_complete() { "complete" } else { "INCOMPLETE" };
    builder
        .comment(&format!("{verdict}: {dropped} lost, {stacks} without a stack, {undecodable} undecodable"));
    for missing in &report.missing {
        builder.comment(&format!("not seen: {}: {}", missing.function, missing.reason));
    }
}
