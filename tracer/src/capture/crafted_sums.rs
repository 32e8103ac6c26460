//! What the kernel side sums up of a made-up program beside its calls, and what it tells of goroutines that were woken.

use tracer_ebpf::wire::blocking::{BUCKETS, bucket};
use tracer_ebpf::wire::parking::{self as wire, Waker};
use tracer_ebpf::wire::{Header, Probe};

use crate::event::blocking::{Caller, StackTaken};
use crate::event::gc::Assist;
use crate::event::parking::{ParkKey, ParkTotal};
use crate::event::profile::Samples;
use crate::model::ParkingLook;
use crate::model::parking::Overhead;
use crate::stream::Tables;
use crate::units::{Nanos, RuntimeAddr};

/// `chan receive (nil chan)` (runtime/runtime2.go, of Go 1.27).
const REASON: u8 = 15;

/// After so many of each.
pub(super) fn tables(times: u64) -> Tables {
    let mut tables = Tables::default();
    let gopc = Some(RuntimeAddr(1421));
    let caller = Caller::Goroutine;
    for number in 0..3 {
        let (stack, count) = (StackTaken::Taken(number), times * u64::from(number));
        tables.samples.push(Samples { stack, caller, gopc, syscall: None, count });
        tables.assists.push(Assist { stack, gopc, count, time: Nanos(count * 7_000) });
        tables.parking.get_or_insert_default().totals.push(parked(stack, count));
    }
    tables
}

fn parked(stack: StackTaken, count: u64) -> ParkTotal {
    let gopc = Some(RuntimeAddr(1421));
    let key = ParkKey { reason: REASON, stack, gopc, waker: Waker::Goroutine, waker_gopc: gopc };
    let mut histogram = vec![0; BUCKETS];
    histogram[bucket(3_000_000)] = u32::try_from(count).expect("few");
    let (total, runnable) = (Nanos(count * 3_000_000), Nanos(count * 1_000));
    let longest = Nanos(if count > 0 { 3_000_000 } else { 0 });
    ParkTotal { key, count, joined: count, total, runnable, longest, histogram }
}

/// What is known of the probes besides.
pub(super) fn look(now: Nanos) -> ParkingLook {
    let overhead = Overhead {
        armed: Nanos(1),
        span: now,
        hits: 10,
        dropped: 0,
        handlers: Nanos(6_000),
        trap: Nanos(600),
        budget: 20_000,
        one_in: 1,
        sampled: None,
        detached: None,
    };
    ParkingLook { overhead, missing: Vec::new() }
}

/// The record of a goroutine that runs again now.
pub(super) fn woken(now: u64, goid: u64, duration: u64) -> wire::Woken {
    let parked = wire::Parked {
        since: now - duration,
        stack: 1,
        gopc: 1421,
        ready: now - duration / 9,
        waker_gopc: 1421,
        waker_goid: goid + 1,
        reason: REASON.into(),
        waker: Waker::Goroutine as u32,
    };
    wire::Woken { header: Header { time: now, probe: Probe::Woken as u32, tid: 43 }, goid, parked }
}
