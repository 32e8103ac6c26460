//! What the kernel side sums up of parked goroutines -> typed tables.

use std::collections::BTreeMap;

use aya::maps::{MapData, MapError, StackTraceMap};
use serde::{Deserialize, Serialize};
use tracer_ebpf::wire::parking as wire;
use zerocopy::transmute;

use super::tables::keep;
use crate::event::parking::{ParkKey, ParkTotal, ParkedNow};
use crate::probe::maps::ParkingMaps;
use crate::units::RuntimeAddr;

/// So many parked goroutines are read at most, counting those that are met again.
const MOST_READ: usize = 1 << 18;

/// All that the kernel side has summed up so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParkingTables {
    /// The sums.
    pub totals: Vec<ParkTotal>,
    /// Those that are parked.
    #[serde(skip)]
    pub parked: Vec<ParkedNow>,
    /// Keys that are none of this version's.
    pub undecodable: u64,
}

impl ParkingTables {
    /// Reads them, and adds the stacks that they name to `stacks`.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn read(
        maps: &ParkingMaps,
        kept: &StackTraceMap<MapData>,
        stacks: &mut BTreeMap<u32, Vec<RuntimeAddr>>,
    ) -> Result<Self, MapError> {
        let mut tables = Self::default();
        for entry in &maps.totals {
            let (key, stats) = entry?;
            let (key, stats): (wire::Key, wire::Stats) = (transmute!(key), transmute!(stats));
            match ParkTotal::new(&key, &stats) {
                Ok(total) => tables.totals.push(total),
                Err(_) => tables.undecodable += 1,
            }
        }
        tables.parked = parked(maps, &mut tables.undecodable)?;
        let totals = tables.totals.iter().map(|total| total.key);
        for ParkKey { stack, .. } in totals.chain(tables.parked.iter().map(|parked| parked.key)) {
            keep(stack, kept, stacks);
        }
        Ok(tables)
    }
}

/// The goroutines that are parked. They come and go meanwhile, and when the one goes that was read last, the kernel
/// begins again at the first: so each is kept once, and there is an end to it.
///
/// # Errors
/// When the map cannot be read.
pub fn parked(maps: &ParkingMaps, undecodable: &mut u64) -> Result<Vec<ParkedNow>, MapError> {
    let mut found = BTreeMap::new();
    for entry in maps.parked.iter().take(MOST_READ) {
        let (goid, words) = entry?;
        found.insert(goid, words);
    }
    let mut parked = Vec::new();
    for (goid, words) in found {
        match ParkedNow::new(goid, &transmute!(words)) {
            Ok(one) => parked.push(one),
            Err(_) => *undecodable += 1,
        }
    }
    Ok(parked)
}
