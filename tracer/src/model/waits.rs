//! The main goroutine's long waits before `main.main`: for what, where in the code, in which init.

use super::init::Init;
use super::objects::{Object, Objects};
use super::parts::Cause;
use super::startup::StartupTimeline;
use crate::event::{self, Event, EventKind};
use crate::target::gobin::Frame;
use crate::units::{Nanos, RuntimeAddr};

/// What addresses and numbers of the target mean.
pub trait Symbols {
    /// The source code of an address, innermost first; nothing when it is no Go code.
    fn frames(&self, address: RuntimeAddr) -> Vec<Frame>;
    /// The name of a `g.waitreason`.
    fn wait_reason(&self, number: u8) -> Option<&'static str>;
}

/// A wait that was long enough to be told by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The index of the init that it belongs to, if it was in one.
    pub init: Option<usize>,
    /// When it began.
    pub start: Nanos,
    /// How long the thread could not run.
    pub duration: Nanos,
    /// For what.
    pub cause: Cause,
    /// The system call that waited, or that would have; none for a page fault.
    pub syscall: Option<String>,
    /// Why the main goroutine was parked, in the runtime's words.
    pub reason: Option<&'static str>,
    /// The file or address.
    pub object: Option<String>,
    /// The goroutine.
    pub goid: Option<u64>,
    /// Where in the code, innermost first.
    pub stack: Vec<Frame>,
}

/// Every long wait of the program's start, in order, and their times under the causes that their stacks tell.
pub(super) fn waits(
    events: &[Event],
    present: Option<&(event::Wait, Vec<Frame>)>,
    timeline: &mut StartupTimeline,
    symbols: &dyn Symbols,
) -> Vec<Wait> {
    let mut objects = Objects::default();
    let mut waits = Vec::new();
    let mut main_thread = 0;
    let mut add = |tid, wait: &event::Wait, stack, objects: &Objects| {
        let told = one(tid, wait, stack, objects, timeline, symbols);
        let kernels = Cause::of(wait.kind);
        if told.cause != kernels {
            timeline.reassign(&told, kernels);
        }
        waits.push(told);
    };
    for event in events {
        match &event.kind {
            EventKind::Call(call) => objects.note(event.tid, call),
            EventKind::Wait(wait) => add(event.tid, wait, stack(wait, symbols), &objects),
            // The first that is probed.
            EventKind::Hit(_) if main_thread == 0 => main_thread = event.tid,
            _ => {}
        }
    }
    if let Some((wait, frames)) = present {
        add(main_thread, wait, in_init(frames.clone()), &objects);
    }
    waits
}

fn one(
    tid: u32,
    wait: &event::Wait,
    stack: Vec<Frame>,
    objects: &Objects,
    timeline: &StartupTimeline,
    symbols: &dyn Symbols,
) -> Wait {
    let mut object = objects.of_wait(tid, wait);
    let cause = cause(wait, object, &stack);
    if object.is_none() && matches!(cause, Cause::Network | Cause::Dns) {
        object = objects.connected();
    }
    let contains = |init: &Init| init.start <= wait.start && wait.start.since(init.start) <= init.wall;
    Wait {
        init: timeline.inits.iter().position(contains),
        start: wait.start,
        duration: wait.duration,
        cause,
        syscall: wait.polled.map(|(syscall, _)| syscall).or(wait.syscall).map(syscall_name),
        reason: wait.wait_reason.and_then(|reason| symbols.wait_reason(reason)),
        object: object.map(|object| object.name().to_owned()),
        goid: wait.goid,
        stack,
    }
}

/// The kernel side knows the system call and the wait reason; the stack and the object tell more.
fn cause(wait: &event::Wait, object: Option<&Object>, stack: &[Frame]) -> Cause {
    let calls = |prefixes: &[&str]| {
        stack.iter().any(|frame| prefixes.iter().any(|prefix| frame.function.starts_with(prefix)))
    };
    let told = Cause::of(wait.kind);
    match (told, object) {
        (Cause::Network, Some(Object::Path(_))) => return Cause::File,
        (Cause::File, Some(Object::Address(_))) => return Cause::Network,
        _ => {}
    }
    let waits_for_others = matches!(told, Cause::Goroutine | Cause::Network | Cause::Futex);
    if waits_for_others && stack.iter().any(resolves_names) {
        Cause::Dns
    } else if told == Cause::Goroutine && calls(&["net.", "net/", "internal/poll.", "crypto/tls."]) {
        Cause::Network
    } else {
        told
    }
}

/// Whether the function resolves names, as Go's own resolver or with the C library's.
pub(super) fn resolves_names(frame: &Frame) -> bool {
    let resolver = ["net.(*Resolver).", "net.cgo", "net.doBlockingWithCtx"];
    resolver.iter().any(|prefix| frame.function.starts_with(prefix))
}

fn stack(wait: &event::Wait, symbols: &dyn Symbols) -> Vec<Frame> {
    let mut frames = Vec::new();
    let addresses = if wait.stack.is_empty() { std::slice::from_ref(&wait.ip) } else { &wait.stack[..] };
    for (index, address) in addresses.iter().enumerate() {
        // A return address is behind the call; the call may end the function.
        let at = if index == 0 { *address } else { RuntimeAddr(address.0.saturating_sub(1)) };
        frames.extend(symbols.frames(at));
    }
    in_init(frames)
}

/// Down to the init: what the runtime does before is the same for all.
fn in_init(mut frames: Vec<Frame>) -> Vec<Frame> {
    let outside = |frame: &Frame| frame.function.starts_with("runtime.doInit");
    let length = frames.iter().position(outside).unwrap_or(frames.len());
    frames.truncate(length);
    frames
}

/// The system call's name.
#[must_use]
pub fn syscall_name(number: u64) -> String {
    let known = usize::try_from(number).ok().and_then(syscalls::Sysno::new);
    known.map_or_else(|| format!("system call {number}"), |sysno| sysno.name().to_owned())
}
