//! What is told of a slice beside its name and times: made when it is written, for there may be very many.

use serde_json::{Map, Value, json};

use super::super::functions;
use super::collector::goal;
use crate::model::blocking::{BlockedNow, Entry, Idle, Site, SlowCall};
use crate::model::gc::{HeldUpBy, Incident, ToldCycle, Trigger, WorldStop};
use crate::model::parking::Wakeup;
use crate::model::{Cause, Init, Library, Parts, Phase, TimedFunction, Wait};
use crate::units::Nanos;

/// What a slice is of.
pub(super) enum Args<'a> {
    /// Nothing more is to be told.
    None,
    Phase(&'a Phase),
    Init(&'a Init),
    Function(&'a TimedFunction),
    Wait(&'a Wait),
    Library(&'a Library),
    Slow(&'a SlowCall, Option<&'a Entry>),
    BlockedNow(&'a BlockedNow),
    Cycle(&'a ToldCycle, Option<&'a Incident>),
    Stop(&'a WorldStop, Option<&'a Incident>),
    Holder(&'a WorldStop, &'a HeldUpBy),
    Parked(&'a Wakeup),
    Wakes(&'a Wakeup),
}

impl Args<'_> {
    /// As an object. What is not known is left out.
    pub(super) fn to_json(&self) -> Value {
        let mut args = match self {
            Self::None => json!({}),
            Self::Phase(phase) => json!({ "done": phase.done, "parts": phase.parts.as_ref().map(parts) }),
            Self::Init(init) => json!({
                "done": init.done,
                "module": init.module,
                "goroutines_started": init.started.map(|started| started.total),
                "goroutines_at_main": init.started.map(|started| started.at_main),
                "allocs": init.heap.map(|heap| heap.allocs),
                "bytes": init.heap.map(|heap| heap.bytes),
                "parts": init.parts.as_ref().map(parts),
            }),
            Self::Function(timed) => json!({ "at": timed.function.begin().to_string() }),
            Self::Wait(wait) => json!({
                "cause": wait.cause.name(),
                "syscall": wait.syscall,
                "object": wait.object,
                "wait_reason": wait.reason,
                "goid": wait.goid,
                "stack": functions(&wait.stack),
            }),
            Self::Library(library) => json!({ "path": library.path, "bytes": library.bytes }),
            Self::Slow(call, entry) => slow(call, *entry),
            Self::BlockedNow(one) => blocked_now(one),
            Self::Cycle(told, incident) => cycle(told, *incident),
            Self::Stop(stop, incident) => json!({
                "reason": stop.reason.name(),
                "cycle": stop.cycle,
                "stopping_ns": stop.stopping,
                "stopped_ns": stop.stopped(),
                "total_is_estimated": stop.total_is_estimated.then_some(true),
                "asked_by_goroutine": stop.goid,
                "asked_at": place(&stop.site),
                "stack": functions(&stop.stack),
                "looks": stop.looks,
                "held_up_by_goroutine": stop.holder.as_ref().map(|holder| holder.seen.goid),
                "held_up_at": stop.holder.as_ref().and_then(|holder| place(&holder.site)),
                "verdict": incident.map(|incident| incident.verdict.name()),
                "text": incident.map(|incident| incident.text.as_str()),
            }),
            Self::Holder(stop, holder) => json!({
                "reason": stop.reason.name(),
                "tid": holder.seen.tid,
                "looks": holder.seen.looks,
                "on_cpu": holder.seen.on_cpu,
                "runnable": holder.seen.runnable,
                "disk": holder.seen.disk,
                "sleeping": holder.seen.sleeping,
                "at": place(&holder.site),
                "stack": functions(&holder.stack),
            }),
            Self::Parked(wakeup) => json!({
                "wait_reason": wakeup.reason,
                "idle": wakeup.idle.map(Idle::name),
                "ready_ns": wakeup.ran.since(wakeup.ready),
                "woken_by_goroutine": wakeup.waker_goid,
                "origin": wakeup.origin.as_ref().map(ToString::to_string),
                "stack": functions(&wakeup.stack),
            }),
            Self::Wakes(wakeup) => json!({ "goroutine": wakeup.goid, "wait_reason": wakeup.reason }),
        };
        if let Value::Object(fields) = &mut args {
            tidy(fields);
        }
        args
    }
}

/// Where the main thread's time went, but for what it did not go to.
fn parts(parts: &Parts) -> Value {
    let blocked = Cause::ALL.map(|cause| (format!("{}_ns", cause.name()), parts.blocked_by(cause)));
    let blocked: Map<String, Value> = blocked
        .into_iter()
        .filter(|(_, time)| time.0 > 0)
        .map(|(name, time)| (name, time.0.into()))
        .collect();
    json!({
        "on_cpu_ns": parts.on_cpu,
        "runnable_ns": parts.runnable,
        "blocked": blocked,
        "remainder_ns": parts.remainder,
        "syscalls": parts.syscalls,
        "minor_faults": parts.minor_faults,
        "major_faults": parts.major_faults,
        "gc_assist_ns": parts.assist,
    })
}

fn slow(call: &SlowCall, entry: Option<&Entry>) -> Value {
    json!({
        "class": entry.map(|entry| entry.class.name()),
        "cause": entry.map(|entry| entry.cause.name()),
        "object": call.object,
        "fd": call.fd,
        "result": call.call.result,
        "tid": call.tid,
        "site": entry.and_then(|entry| place(&entry.site)),
        "origin": entry.and_then(|entry| entry.origin.as_ref()).map(ToString::to_string),
        "stack": entry.map(|entry| functions(&entry.stack)),
    })
}

fn blocked_now(one: &BlockedNow) -> Value {
    json!({
        "goes_on": true,
        "class": one.standing().name(),
        "state": one.state,
        "wait_reason": one.wait_reason,
        "object": one.object,
        "fd": one.fd,
        "tid": one.tid,
        "since_is_exact": one.since.map(crate::model::blocking::Since::is_exact),
        "origin": one.origin.as_ref().map(ToString::to_string),
        "stack": functions(&one.stack),
    })
}

fn cycle(told: &ToldCycle, incident: Option<&Incident>) -> Value {
    let cycle = &told.cycle;
    json!({
        "trigger": told.trigger.map(Trigger::name),
        "forced": cycle.forced,
        "partial": cycle.partial.then_some(true),
        "missed_before": (cycle.missed_before > 0).then_some(cycle.missed_before),
        "heap_start_bytes": cycle.heap_start,
        "heap_end_bytes": cycle.heap_end,
        "heap_marked_bytes": cycle.heap_marked,
        "heap_goal_bytes": goal(cycle),
        "assist_ns": cycle.assist,
        "dedicated_ns": cycle.dedicated,
        "fractional_ns": cycle.fractional,
        "idle_ns": cycle.idle,
        "pause_ns": cycle.pause,
        "procs": cycle.procs,
        "at_memory_limit": cycle.at_limit.then_some(true),
        "package": told.charged.as_ref().and_then(|charged| charged.package.as_deref()),
        "verdict": incident.map(|incident| incident.verdict.name()),
        "text": incident.map(|incident| incident.text.as_str()),
    })
}

fn place(site: &Site) -> Option<String> {
    site.place().map(|place| place.frame().to_string())
}

/// Takes out what is not known.
fn tidy(fields: &mut Map<String, Value>) {
    fields.retain(|_, value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        _ => true,
    });
}

/// A duration that may be too long for the clock.
pub(super) fn after(start: Nanos, duration: Nanos) -> Nanos {
    Nanos(start.0.saturating_add(duration.0))
}
