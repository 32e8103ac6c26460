//! Whether sites can be probed in a running program: what is in memory is what is run.

use anyhow::Context as _;

use crate::probe::plan::PlannedSite;
use crate::target::memory::{Memory as _, ProcessMemory};
use crate::units::RuntimeAddr;

/// Compares sites with the process's memory; says what is wrong with the first that differs. A breakpoint that another
/// tool has left there, or has there now, is not to be had twice.
pub(super) fn difference(
    memory: &ProcessMemory,
    bias: u64,
    sites: &[PlannedSite],
) -> anyhow::Result<Option<String>> {
    for PlannedSite { function, site, .. } in sites {
        let mut bytes = vec![0; site.bytes.len()];
        memory
            .read(RuntimeAddr(site.address.0.wrapping_add(bias)), &mut bytes)
            .with_context(|| format!("cannot read the process's {function}"))?;
        if bytes != site.bytes {
            let what = if bytes.first() == Some(&0xcc) { "a breakpoint is there" } else { "it was changed" };
            return Ok(Some(format!("{function} in memory is not as in the file: {what}")));
        }
    }
    Ok(None)
}
