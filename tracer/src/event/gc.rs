//! The garbage collector: its cycles, and the times that the world was stopped.

use std::mem::offset_of;

use serde::{Deserialize, Serialize};
use tracer_ebpf::wire::account::MAX_DEPTH;
use tracer_ebpf::wire::{Probe, gc as wire};

use super::blocking::StackTaken;
use super::{DecodeError, prefix};
use crate::units::{Nanos, RuntimeAddr};

/// What the runtime had noted of a cycle when it was over, as it is in memory. Which word is what depends on the
/// version of Go: [`crate::target::gobin::CollectorLayout`] says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// CLOCK_MONOTONIC, the runtime's clock, when the event's time was taken of the boot clock.
    pub monotonic: Nanos,
    /// The goroutine that ended the cycle.
    pub goid: Option<u64>,
    /// `memstats.pause_total_ns`
    pub pause_total: Nanos,
    /// Words of `runtime.work`, from the layout's `work_from` on.
    pub work: Vec<u64>,
    /// Words of `runtime.gcController`, from its beginning.
    pub controller: Vec<u64>,
    /// Words of `runtime.memstats`, from `numgc` on.
    pub stats: Vec<u64>,
}

/// The world was stopped, and goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// CLOCK_MONOTONIC, the runtime's clock, when the event's time was taken of the boot clock.
    pub monotonic: Nanos,
    /// When it was asked to stop, of the runtime's clock; none when gotrace did not see it.
    pub started: Option<Nanos>,
    /// When it had stopped, of the runtime's clock; none when gotrace did not see it.
    pub finished: Option<Nanos>,
    /// From `started` to where it went on, as the runtime's own statistics have it. None where the runtime tells it
    /// only later, or not at all: then it went on at about `monotonic`.
    pub total: Option<Nanos>,
    /// `stwReason`, whose numbers have been the same since Go 1.21.
    pub reason: u32,
    /// Whether `started` and `finished` are gotrace's own readings and not the runtime's.
    pub own_clock: bool,
    /// How often who asked looked whether the world had stopped, and it had not: every 100 µs.
    pub looks: u32,
    /// The goroutine that asked.
    pub goid: Option<u64>,
    /// The address behind the go statement that made it.
    pub gopc: Option<RuntimeAddr>,
    /// Its stack, the innermost address first.
    pub stack: Vec<RuntimeAddr>,
    /// Who was the last to stop, of those that a look found running.
    pub holder: Option<Holder>,
}

/// Who kept the world from stopping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The goroutine.
    pub goid: u64,
    /// The address behind the go statement that made it.
    pub gopc: Option<RuntimeAddr>,
    /// Its thread, as the program's own PID namespace counts.
    pub tid: u32,
    /// How many Ps ran still at the last look.
    pub running: u32,
    /// At how many looks it ran still.
    pub looks: u32,
    /// At how many of them its thread was on a CPU, or had been for most of the time since the one before.
    pub on_cpu: u32,
    /// At how many it would have run, and had had no CPU for most of the time since the one before.
    pub runnable: u32,
    /// At how many it waited in the kernel and could not be interrupted: for a page or a disk.
    pub disk: u32,
    /// At how many it slept.
    pub sleeping: u32,
    /// The word at its stack pointer when it had stopped: the return address of the innermost function, where that
    /// one had no frame yet.
    pub top: RuntimeAddr,
    /// Where it was when it had stopped, the innermost address first.
    pub stack: Vec<RuntimeAddr>,
}

/// How long goroutines that allocated were made to mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assist {
    /// Where they allocated.
    pub stack: StackTaken,
    /// The address behind the go statement that made them.
    pub gopc: Option<RuntimeAddr>,
    /// How often.
    pub count: u64,
    /// How long, by the runtime's own account, which takes it for CPU time. What took less than 5 µs is counted with the
    /// next assist on the same P.
    pub time: Nanos,
}

pub(super) fn cycle(bytes: &[u8]) -> Result<Cycle, DecodeError> {
    let record: wire::Cycle = prefix(bytes)?;
    Ok(Cycle {
        monotonic: Nanos(record.monotonic),
        goid: known(record.goid),
        pause_total: Nanos(record.pause_total),
        work: record.work.to_vec(),
        controller: record.controller.to_vec(),
        stats: record.stats.to_vec(),
    })
}

pub(super) fn stop(bytes: &[u8]) -> Result<Stop, DecodeError> {
    // What is not needed of it need not be there.
    if bytes.len() < offset_of!(wire::Stop, stacks) {
        return Err(DecodeError::TooShort { length: bytes.len() });
    }
    let mut whole = [0; size_of::<wire::Stop>()];
    let there = bytes.len().min(whole.len());
    whole[..there].copy_from_slice(&bytes[..there]);
    let record: wire::Stop = zerocopy::transmute!(whole);
    let stack = |which: usize, depth: u32| -> Result<Vec<RuntimeAddr>, DecodeError> {
        let impossible =
            || DecodeError::Impossible { probe: Probe::WorldStarted, field: "depth", value: depth.into() };
        let frames = usize::try_from(depth).ok().and_then(|depth| record.stacks.get(which)?.get(..depth));
        let begin = offset_of!(wire::Stop, stacks) + which * size_of::<[u64; MAX_DEPTH]>();
        let frames = frames.filter(|frames| frames.is_empty() || begin + size_of_val(*frames) <= there);
        Ok(frames.ok_or_else(impossible)?.iter().copied().map(RuntimeAddr).collect())
    };
    let holder = &record.holder;
    let holder = if holder.goid == 0 {
        None
    } else {
        Some(Holder {
            goid: holder.goid,
            gopc: known(holder.gopc).map(RuntimeAddr),
            tid: holder.tid,
            running: holder.running,
            looks: holder.looks,
            on_cpu: holder.on_cpu,
            runnable: holder.runnable,
            disk: holder.disk,
            sleeping: holder.sleeping,
            top: RuntimeAddr(holder.top),
            stack: stack(wire::HOLDER, holder.depth)?,
        })
    };
    Ok(Stop {
        monotonic: Nanos(record.monotonic),
        started: known(record.started).map(Nanos),
        finished: known(record.finished).map(Nanos),
        total: known(record.total).map(Nanos),
        reason: record.reason,
        own_clock: record.own_clock != 0,
        looks: record.looks,
        goid: known(record.goid),
        gopc: known(record.gopc).map(RuntimeAddr),
        stack: stack(wire::ASKER, record.depth)?,
        holder,
    })
}

impl Assist {
    /// From the kernel side's words.
    #[must_use]
    pub fn new(key: &wire::AssistKey, stats: &wire::AssistStats) -> Self {
        Self {
            stack: StackTaken::of(key.stack),
            gopc: known(key.gopc).map(RuntimeAddr),
            count: stats.count,
            time: Nanos(stats.time),
        }
    }
}

fn known(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracer_ebpf::wire::Header;
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::super::{EventKind, decode};
    use super::*;

    fn record() -> wire::Stop {
        let mut stop = wire::Stop::new_zeroed();
        stop.header = Header { time: 7, probe: Probe::WorldStarted as u32, tid: 9 };
        stop
    }

    fn decoded(stop: &wire::Stop) -> Result<Stop, DecodeError> {
        decode(stop.as_bytes()).map(|event| match event.kind {
            EventKind::Stop(stop) => *stop,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn what_was_not_seen_of_a_stop_is_none() {
        let stop = decoded(&record()).unwrap();
        assert_eq!((stop.started, stop.finished, stop.total), (None, None, None));
        assert_eq!((stop.goid, stop.gopc, stop.holder), (None, None, None));
        assert!(stop.stack.is_empty());
    }

    #[test]
    fn a_holder_is_told_with_where_it_was() {
        let mut record = record();
        record.holder.goid = 5;
        record.holder.depth = 2;
        record.stacks[wire::HOLDER][..3].copy_from_slice(&[10, 20, 30]);
        record.holder.top = 15;
        let holder = decoded(&record).unwrap().holder.unwrap();
        assert_eq!((holder.goid, holder.top), (5, RuntimeAddr(15)));
        assert_eq!(holder.stack, [RuntimeAddr(10), RuntimeAddr(20)]);
    }

    #[test]
    fn stacks_deeper_than_their_room_are_refused() {
        let mut asker = record();
        asker.depth = 49;
        let mut holder = record();
        (holder.holder.goid, holder.holder.depth) = (5, u32::MAX);
        for record in [asker, holder] {
            let refused = decoded(&record).unwrap_err();
            assert!(matches!(refused, DecodeError::Impossible { field: "depth", .. }), "{refused}");
        }
        let mut full = record();
        full.depth = 48;
        assert_eq!(decoded(&full).unwrap().stack.len(), 48);
    }

    #[test]
    fn a_stop_that_nobody_held_up_ends_with_its_frames() {
        let mut record = record();
        record.depth = 2;
        record.stacks[wire::ASKER][..2].copy_from_slice(&[10, 20]);
        let end = offset_of!(wire::Stop, stacks) + 16;
        let EventKind::Stop(stop) = decode(&record.as_bytes()[..end]).unwrap().kind else { panic!() };
        assert_eq!(stop.stack, [RuntimeAddr(10), RuntimeAddr(20)]);
        for length in [0, 16, end - 17, end - 16, end - 1] {
            assert!(decode(&record.as_bytes()[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_cycle_is_told_word_by_word() {
        let mut cycle = wire::Cycle::new_zeroed();
        cycle.header = Header { time: 7, probe: Probe::GcCycle as u32, tid: 9 };
        (cycle.work[39], cycle.controller[0], cycle.stats[4]) = (1, 2, 3);
        let EventKind::GcCycle(cycle) = decode(cycle.as_bytes()).unwrap().kind else { panic!() };
        assert_eq!((cycle.work[39], cycle.controller[0], cycle.stats[4]), (1, 2, 3));
        assert_eq!([cycle.work.len(), cycle.controller.len(), cycle.stats.len()], [40, 40, 5]);
    }

    proptest! {
        #[test]
        fn any_words_are_decoded_or_refused(
            words in prop::collection::vec(any::<u64>(), 0..140),
            probe in prop::sample::select(vec![Probe::GcCycle, Probe::WorldStarted]),
        ) {
            let mut bytes = words.as_bytes().to_vec();
            if let Some(number) = bytes.get_mut(8..12) {
                number.copy_from_slice(&(probe as u32).to_ne_bytes());
            }
            let needed = match probe {
                Probe::GcCycle => size_of::<wire::Cycle>(),
                _ => offset_of!(wire::Stop, stacks),
            };
            prop_assert!(decode(&bytes).is_err() || bytes.len() >= needed);
        }

        #[test]
        fn any_sum_of_assists_is_decoded(stack: i64, gopc: u64, count: u64, time: u64) {
            let assist =
                Assist::new(&wire::AssistKey { stack, gopc }, &wire::AssistStats { count, time });
            prop_assert_eq!((assist.count, assist.time), (count, Nanos(time)));
            prop_assert_eq!(matches!(assist.stack, StackTaken::Taken(_)), u32::try_from(stack).is_ok());
        }
    }
}
