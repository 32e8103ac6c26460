//! What the kernel side sums up of assists -> typed sums.

use std::collections::BTreeMap;

use aya::maps::{MapData, MapError, StackTraceMap};
use tracer_ebpf::wire::gc as wire;
use zerocopy::transmute;

use super::tables::keep;
use crate::event::gc::Assist;
use crate::probe::maps::AssistsMap;
use crate::units::RuntimeAddr;

/// Reads the sums of who was made to help with marking, and adds the stacks that they name to `stacks`.
///
/// # Errors
/// When the map cannot be read.
pub fn read_assists(
    map: &AssistsMap,
    kept: &StackTraceMap<MapData>,
    stacks: &mut BTreeMap<u32, Vec<RuntimeAddr>>,
) -> Result<Vec<Assist>, MapError> {
    let mut assists = Vec::new();
    for entry in map {
        let (key, stats) = entry?;
        let (key, stats): (wire::AssistKey, wire::AssistStats) = (transmute!(key), transmute!(stats));
        let assist = Assist::new(&key, &stats);
        keep(assist.stack, kept, stacks);
        assists.push(assist);
    }
    Ok(assists)
}
