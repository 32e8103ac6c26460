//! A running program: where its goroutines were blocked, as in Go's own block profile, or where it was on a CPU, as in
//! Go's own CPU profile.

use super::super::FlameOf;
use super::super::blocking_ndjson::{caller_name, kind_name};
use super::builder::Builder;
use super::proto::Label;
use crate::model::blocking::{BlockingReport, Entry, Group};
use crate::target::gobin::Frame;

/// The types of Go's block profile (runtime/pprof, `writeProfileInternal`).
const BLOCKED: [(&str, &str); 2] = [("contentions", "count"), ("delay", "nanoseconds")];

/// The types of Go's CPU profile (runtime/pprof, `newProfileBuilder`).
const ON_CPU: [(&str, &str); 2] = [("samples", "count"), ("cpu", "nanoseconds")];

/// Of what is asked for.
pub(super) fn profile(report: &BlockingReport, of: FlameOf) -> Builder {
    let mut builder = match of {
        FlameOf::Blocked => blocked(report),
        FlameOf::OnCpu => on_cpu(report),
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
    for idle in report.idle() {
        left_out(&mut builder, &format!("idle ({})", idle.key.name()), &idle);
    }
    for apart in report.apart() {
        left_out(&mut builder, apart.key.name(), &apart);
    }
    for wait in report.without_retry() {
        let place = wait.key.0.place().map_or("?", |place| place.function.as_str());
        left_out(&mut builder, &format!("no further try, so at most that long, at {place}"), &wait);
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
fn left_out<K>(builder: &mut Builder, what: &str, group: &Group<K>) {
    let (count, time) = (group.sums.count, group.sums.total.for_people());
    builder.comment(&format!("left out: {what}: {time}, {count}×"));
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

fn stack(builder: &mut Builder, frames: &[Frame]) -> Vec<u64> {
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
