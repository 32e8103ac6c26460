//! Whether sites can be probed in a running program: what is in memory is what is run.

use anyhow::Context as _;

use crate::probe::plan::PlannedSite;
use crate::target::memory::{Memory as _, ProcessMemory};
use crate::target::process::Process;
use crate::units::RuntimeAddr;

/// Compares sites with the process's memory; says what is wrong with the first that differs. A breakpoint of another
/// tracer's is no difference: the kernel serves both. A debugger's is its own, and would be lost with the probe.
pub(super) fn difference(
    process: &Process,
    memory: &ProcessMemory,
    bias: u64,
    sites: &[PlannedSite],
) -> anyhow::Result<Option<String>> {
    let debugger = process.tracer();
    for PlannedSite { function, site, .. } in sites {
        let mut bytes = vec![0; site.bytes.len()];
        memory
            .read(RuntimeAddr(site.address.0.wrapping_add(bias)), &mut bytes)
            .with_context(|| format!("cannot read the process's {function}"))?;
        let has_breakpoint = bytes.first() == Some(&0xcc) && bytes.get(1..) == site.bytes.get(1..);
        let what = match &debugger {
            _ if bytes == site.bytes => continue,
            None if has_breakpoint => continue,
            Some(debugger) if has_breakpoint => format!("a breakpoint is there, of the debugger {debugger}"),
            _ => "it was changed".to_owned(),
        };
        return Ok(Some(format!("{function} in memory is not as in the file: {what}")));
    }
    Ok(None)
}
