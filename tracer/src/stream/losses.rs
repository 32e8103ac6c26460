//! What each probe saw and what of it was lost.

use aya::maps::{Array, MapData, MapError};
use serde::{Deserialize, Serialize};
use thiserror::Error;
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

/// The kernel does not tell what was lost.
#[derive(Debug, Error)]
#[error("cannot read the loss counters: {0}")]
pub struct LossesUnknown(#[from] MapError);

/// Reads every probe's account from the kernel, in the order of their numbers.
pub(super) fn read(counters: &Array<MapData, [u64; 2]>) -> Result<Vec<ProbeLoss>, LossesUnknown> {
    Probe::ALL
        .into_iter()
        .map(|probe| {
            let [hits, dropped] = counters.get(&(probe as u32), 0)?;
            Ok(ProbeLoss { probe, hits, dropped })
        })
        .collect()
}
