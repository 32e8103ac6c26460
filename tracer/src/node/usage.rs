//! What a running process has and its runtime counts, read from /proc and its memory.

use super::program::Program;
use crate::target::counters::Counters;
use crate::target::process::Process;

/// What it has. None where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of its memory in the machine's.
    pub resident: Option<u64>,
    /// What its runtime counts.
    pub counters: Option<Counters>,
}

impl Usage {
    /// Of a process of that program. Nothing of one that has ended.
    pub(super) fn of(process: &Process, program: &Program) -> Self {
        Self { resident: process.resident(), counters: counters(process, program) }
    }
}

fn counters(process: &Process, program: &Program) -> Option<Counters> {
    let places = program.counters.as_ref()?;
    let memory = process.memory().ok()?;
    let read = process
        .load_bias_by(&program.landmarks, &program.path, &memory)
        .ok()
        .map(|bias| Counters::read(&memory, bias, places))?;
    read.inspect_err(|error| tracing::debug!("process {}: {error}", process.pid)).ok()
}
