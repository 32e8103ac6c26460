//! What the system calls do to Go's scheduler: threads, processors, its poller.

use std::sync::Arc;

use super::super::waits::syscall_name;
use super::entry::Entry;
use super::stacks::has_any;
use super::sums::Sums;
use crate::event::blocking::{Caller, Kind};
use crate::target::gobin::Frame;
use crate::units::{Nanos, saturating_sum};

/// sysmon looks every 20 µs when it is at its fastest, and every 10 ms at its slowest (runtime/proc.go); of a system
/// call that lasts from one look to the next it takes the P away. The histogram's next buckets begin here.
const FAST_TICK: Nanos = Nanos(20_480);
const SLOW_TICK: Nanos = Nanos(10_485_760);

/// What the system calls do to Go's scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduler {
    /// Threads that were made.
    pub threads: ThreadsMade,
    /// Children that were made by clone.
    pub children: u64,
    /// Goroutines' system calls of at least 20.48 µs. sysmon may have taken the P of at most these.
    pub past_fast_tick: u64,
    /// Goroutines' system calls of at least 10.49 ms: longer than sysmon ever waits while another goroutine runs.
    pub past_slow_tick: u64,
    /// The network poller's waits. They end with an event or with the next timer.
    pub poller: Sums,
    /// How many of them took at least 20.48 µs; the others only looked.
    pub poller_waits: u64,
}

/// Threads that were made, by the reason that the stack tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadsMade {
    /// Because a system call or a C function kept a thread, and its P was handed on.
    pub for_blocking: u64,
    /// Because there was more to run.
    pub for_work: u64,
    /// By C code.
    pub by_c: u64,
    /// The stack does not tell.
    pub unknown: u64,
}

impl ThreadsMade {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        saturating_sum([self.for_blocking, self.for_work, self.by_c, self.unknown])
    }
}

impl Scheduler {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut scheduler = Self::default();
        for entry in entries.iter().filter(|entry| entry.key.kind == Kind::Call) {
            match syscall_name(entry.key.syscall).as_str() {
                "clone" | "clone3" => scheduler.add_clones(entry),
                "epoll_wait" | "epoll_pwait" | "epoll_pwait2" if entry.key.caller == Caller::Runtime => {
                    scheduler.poller.add(&entry.sums);
                }
                _ => {}
            }
            if entry.key.caller == Caller::Goroutine {
                let ticks =
                    [(&mut scheduler.past_fast_tick, FAST_TICK), (&mut scheduler.past_slow_tick, SLOW_TICK)];
                for (past, tick) in ticks {
                    *past = past.saturating_add(entry.sums.at_least(tick));
                }
            }
        }
        scheduler.poller_waits = scheduler.poller.at_least(FAST_TICK);
        scheduler
    }

    fn add_clones(&mut self, entry: &Entry) {
        // It returns twice, the second time in the child.
        let made = entry.sums.count.saturating_sub(entry.sums.errors);
        let threads = &mut self.threads;
        let count = match why(&entry.stack) {
            Why::Child => &mut self.children,
            Why::Blocking => &mut threads.for_blocking,
            Why::Work => &mut threads.for_work,
            Why::C => &mut threads.by_c,
            Why::Unknown => &mut threads.unknown,
        };
        *count = count.saturating_add(made);
    }
}

enum Why {
    Child,
    Blocking,
    Work,
    C,
    Unknown,
}

fn why(stack: &[Arc<Frame>]) -> Why {
    let on = |functions: &[&str]| has_any(stack, functions);
    if on(&["syscall.forkAndExec", "syscall.rawVforkSyscall", "syscall.forkExec"]) {
        return Why::Child;
    }
    // Who hands a P on: sysmon (retake), and the thread itself before a call that it knows will take long.
    if on(&["runtime.retake", "runtime.entersyscallblock"]) {
        return Why::Blocking;
    }
    if on(&["runtime.newm", "runtime.startm", "runtime.newosproc"]) {
        return Why::Work;
    }
    if !stack.is_empty() && !stack.iter().any(|frame| frame.function.starts_with("runtime.")) {
        return Why::C;
    }
    Why::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(functions: &[&str]) -> &'static str {
        let frame = |function: &&str| Frame {
            function: (*function).into(),
            file: None,
            line: 0,
            inlined: false,
            begins: 0,
            address: None,
        };
        match why(&functions.iter().map(frame).map(Arc::new).collect::<Vec<_>>()) {
            Why::Child => "child",
            Why::Blocking => "blocking",
            Why::Work => "work",
            Why::C => "c",
            Why::Unknown => "unknown",
        }
    }

    #[test]
    fn the_stack_tells_why_a_thread_was_made() {
        let start = ["runtime.clone", "runtime.newosproc", "runtime.newm", "runtime.startm"];
        let by = |callers: &[&str]| made(&[&start[..], callers].concat());
        assert_eq!(by(&["runtime.handoffp", "runtime.retake", "runtime.sysmon"]), "blocking");
        assert_eq!(by(&["runtime.handoffp", "runtime.entersyscallblock_handoff"]), "blocking");
        // A goroutine that is locked to its thread hands the P on as well.
        assert_eq!(by(&["runtime.handoffp", "runtime.stoplockedm"]), "work");
        assert_eq!(by(&["runtime.wakep", "runtime.newproc.func1"]), "work");
        assert_eq!(made(&["syscall.rawVforkSyscall", "syscall.forkAndExecInChild1"]), "child");
        assert_eq!(made(&["(not Go code)"]), "c");
        assert_eq!(made(&[]), "unknown");
    }
}
