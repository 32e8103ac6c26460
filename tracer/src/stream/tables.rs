//! The sums that the kernel side keeps in maps -> typed tables.

use std::collections::BTreeMap;

use aya::maps::{MapData, MapError, StackTraceMap};
use serde::{Deserialize, Serialize};
use tracer_ebpf::wire;
use zerocopy::transmute;

use super::parking::ParkingTables;
use crate::event::blocking::{CallTotal, InSyscall, Parked, StackTaken};
use crate::event::gc::Assist;
use crate::event::profile::Samples;
use crate::probe::load::BlockingMaps;
use crate::units::{Nanos, RuntimeAddr};

/// All that the kernel side has summed up so far. A capture keeps the sums; the stacks once each, beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tables {
    /// The sums.
    pub calls: Vec<CallTotal>,
    /// Keys that are none of this version's.
    pub undecodable: u64,
    /// Where it was met on a CPU.
    pub samples: Vec<Samples>,
    /// The stacks that they name, the innermost address first.
    #[serde(skip)]
    pub stacks: BTreeMap<u32, Vec<RuntimeAddr>>,
    /// The threads that are in a system call.
    #[serde(skip)]
    pub in_syscall: Vec<InSyscall>,
    /// The goroutines that the network poller has parked.
    #[serde(skip)]
    pub parked: Vec<Parked>,
    /// What is summed up of all goroutines that are parked, when that was asked for.
    pub parking: Option<ParkingTables>,
    /// Who was made to help the collector with marking, when it is looked at.
    pub assists: Vec<Assist>,
    /// How long its control group has kept its threads from running, since the group was made; read with the assists.
    pub throttled: Option<Nanos>,
}

impl Tables {
    /// Reads them. Each sum is what it was at some moment of the reading.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn read(maps: &BlockingMaps) -> Result<Self, MapError> {
        let mut tables = Self::default();
        for entry in &maps.calls {
            let (key, stats) = entry?;
            let (key, stats): (wire::blocking::Key, wire::blocking::Stats) =
                (transmute!(key), transmute!(stats));
            match CallTotal::new(&key, &stats) {
                Ok(total) => tables.calls.push(total),
                Err(_) => tables.undecodable += 1,
            }
        }
        for index in 0..maps.brief.len() {
            let stats: wire::blocking::Stats = transmute!(maps.brief.get(&index, 0)?);
            if stats.count + stats.joined > 0 {
                match CallTotal::new(&wire::blocking::brief_key(index), &stats) {
                    Ok(total) => tables.calls.push(total),
                    Err(_) => tables.undecodable += 1,
                }
            }
        }
        for entry in &maps.samples {
            let (sample, count) = entry?;
            let sample: wire::profile::Sample = transmute!(sample);
            match Samples::new(&sample, count) {
                Ok(samples) => tables.samples.push(samples),
                Err(_) => tables.undecodable += 1,
            }
        }
        let named = tables.calls.iter().map(|total| total.key.stack);
        for stack in named.chain(tables.samples.iter().map(|samples| samples.stack)) {
            keep(stack, &maps.stacks, &mut tables.stacks);
        }
        for entry in &maps.threads {
            let (tid, thread) = entry?;
            let thread: wire::blocking::Thread = transmute!(thread);
            if thread.entered != 0 {
                let since = Nanos(thread.entered);
                tables.in_syscall.push(InSyscall { tid, since, syscall: thread.syscall });
            }
        }
        for entry in &maps.network_waits {
            let (_, wait) = entry?;
            let wire::blocking::NetworkWait { since, goid, syscall, fd } = transmute!(wait);
            if since != 0 {
                tables.parked.push(Parked { goid, since: Nanos(since), syscall: syscall.into(), fd });
            }
        }
        Ok(tables)
    }
}

/// Adds the stack to those that are known, its innermost address first, if it was taken and is there still.
pub(super) fn keep(
    stack: StackTaken,
    kept: &StackTraceMap<MapData>,
    known: &mut BTreeMap<u32, Vec<RuntimeAddr>>,
) {
    if let StackTaken::Taken(number) = stack
        && !known.contains_key(&number)
        && let Ok(stack) = kept.get(&number, 0)
    {
        known.insert(number, stack.frames().iter().map(|frame| RuntimeAddr(frame.ip)).collect());
    }
}
