//! Where the wall time of a phase or an init went.

use crate::event::{Account, WaitKind};
use crate::units::Nanos;

/// What the main thread waited for while it was off the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Files, or whatever else a descriptor stands for.
    File,
    /// Sockets.
    Network,
    /// A name to be resolved.
    Dns,
    /// A lock of the runtime's own or of C code's.
    Futex,
    /// A sleep.
    Sleep,
    /// A page to be fetched.
    PageFault,
    /// Another goroutine.
    Goroutine,
    /// The garbage collector.
    Gc,
    /// Anything else: child processes, stops, other system calls.
    Other,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::File,
        Self::Network,
        Self::Dns,
        Self::Futex,
        Self::Sleep,
        Self::PageFault,
        Self::Goroutine,
        Self::Gc,
        Self::Other,
    ];

    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Network => "network",
            Self::Dns => "dns",
            Self::Futex => "futex",
            Self::Sleep => "sleep",
            Self::PageFault => "page_fault",
            Self::Goroutine => "goroutine",
            Self::Gc => "gc",
            Self::Other => "other",
        }
    }

    /// As the kernel side tells it, which knows no names.
    #[must_use]
    pub const fn of(kind: WaitKind) -> Self {
        match kind {
            WaitKind::File => Self::File,
            WaitKind::Network => Self::Network,
            WaitKind::Futex => Self::Futex,
            WaitKind::Sleep => Self::Sleep,
            WaitKind::PageFault => Self::PageFault,
            WaitKind::Goroutine => Self::Goroutine,
            WaitKind::Gc => Self::Gc,
            WaitKind::Other => Self::Other,
        }
    }
}

/// Where the wall time of the main thread went: `on_cpu` + `runnable` + every cause + `remainder` = wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// On a CPU, in the program or in the kernel on its behalf.
    pub on_cpu: Nanos,
    /// Ready to run, without a CPU.
    pub runnable: Nanos,
    blocked: [Nanos; Cause::ALL.len()],
    /// Wall time that none of these explains.
    pub remainder: Nanos,
    /// Page faults that needed no disk; none when unknown.
    pub minor_faults: Option<u64>,
    /// Page faults that did; none when unknown.
    pub major_faults: Option<u64>,
    /// System calls that returned.
    pub syscalls: u64,
    /// How long of it all the main goroutine was made to mark for the garbage collector, because it allocated (GC
    /// assist), as the runtime counts it: on a CPU, for the most part. None when it was not probed.
    pub assist: Option<Nanos>,
}

impl Parts {
    /// The difference of two accounts that are `wall` apart.
    #[must_use]
    pub fn between(from: &Account, to: &Account, wall: Nanos) -> Self {
        let difference = |from: u64, to: u64| Nanos(to.saturating_sub(from));
        let mut parts = Self {
            on_cpu: difference(from.on_cpu, to.on_cpu),
            runnable: difference(from.runnable, to.runnable),
            minor_faults: count(from.minor_faults, to.minor_faults),
            major_faults: count(from.major_faults, to.major_faults),
            syscalls: to.syscalls.saturating_sub(from.syscalls),
            ..Self::default()
        };
        for (kind, (from, to)) in WaitKind::ALL.into_iter().zip(from.blocked.iter().zip(&to.blocked)) {
            parts.blocked[Cause::of(kind) as usize] = difference(*from, *to);
        }
        parts.remainder = wall.since(parts.on_cpu.plus(parts.runnable).plus(parts.blocked()));
        parts
    }

    /// Off the CPU for this cause.
    #[must_use]
    pub fn blocked_by(&self, cause: Cause) -> Nanos {
        self.blocked[cause as usize]
    }

    /// Off the CPU for any cause.
    #[must_use]
    pub fn blocked(&self) -> Nanos {
        self.blocked.iter().copied().sum()
    }

    /// Without what is a part of it.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        let mut rest = *self;
        rest.on_cpu = self.on_cpu.since(part.on_cpu);
        rest.runnable = self.runnable.since(part.runnable);
        for (rest, part) in rest.blocked.iter_mut().zip(part.blocked) {
            *rest = rest.since(part);
        }
        rest.remainder = self.remainder.since(part.remainder);
        rest.minor_faults =
            self.minor_faults.zip(part.minor_faults).map(|(all, part)| all.saturating_sub(part));
        rest.major_faults =
            self.major_faults.zip(part.major_faults).map(|(all, part)| all.saturating_sub(part));
        rest.syscalls = self.syscalls.saturating_sub(part.syscalls);
        rest.assist = self.assist.zip(part.assist).map(|(all, part)| all.since(part));
        rest
    }

    /// Counts a wait under the cause that its stack tells, which the kernel side could not know.
    pub(super) fn reassign(&mut self, time: Nanos, from: Cause, to: Cause) {
        let time = time.min(self.blocked[from as usize]);
        self.blocked[from as usize] = self.blocked[from as usize].since(time);
        self.blocked[to as usize] = self.blocked[to as usize].plus(time);
    }
}

/// All ones stand for "unknown".
fn count(from: u64, to: u64) -> Option<u64> {
    if from == u64::MAX || to == u64::MAX { None } else { to.checked_sub(from) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(on_cpu: u64, sleep: u64) -> Account {
        let mut account = Account { on_cpu, major_faults: u64::MAX, ..Account::default() };
        account.blocked[WaitKind::Sleep as usize] = sleep;
        account
    }

    #[test]
    fn the_parts_and_the_remainder_are_the_whole() {
        let mut parts = Parts::between(&account(10, 100), &account(15, 180), Nanos(90));
        assert_eq!((parts.on_cpu, parts.blocked(), parts.remainder), (Nanos(5), Nanos(80), Nanos(5)));
        assert_eq!((parts.minor_faults, parts.major_faults), (Some(0), None));
        parts.reassign(Nanos(500), Cause::Sleep, Cause::Dns);
        assert_eq!(parts.blocked_by(Cause::Dns), Nanos(80));
        assert_eq!(parts.blocked(), Nanos(80));
    }
}
