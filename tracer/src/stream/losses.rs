//! What each probe saw and what of it was lost.

use aya::maps::{Array, MapData, MapError};
use serde::{Deserialize, Serialize};
use tracer_ebpf::wire::Probe;

/// One probe's account: `hits` = delivered + `dropped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeLoss {
    /// The probe.
    pub probe: Probe,
    /// How often it ran in the target.
    pub hits: u64,
    /// How many of its records found the ring buffer full.
    pub dropped: u64,
}

/// Reads every probe's account from the kernel, in the order of their numbers.
///
/// # Errors
/// When the map cannot be read.
pub fn read(counters: &Array<MapData, [u64; 2]>) -> Result<Vec<ProbeLoss>, MapError> {
    Probe::ALL
        .into_iter()
        .map(|probe| {
            let [hits, dropped] = counters.get(&(probe as u32), 0)?;
            Ok(ProbeLoss { probe, hits, dropped })
        })
        .collect()
}
