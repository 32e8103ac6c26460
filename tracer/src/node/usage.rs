//! What a running process has and its runtime counts, read from /proc and its memory.

use super::pauses::Stops;
use super::program::Program;
use crate::target::counters::{Counters, Pauses};
use crate::target::goroutines::Census;
use crate::target::memory::Memory;
use crate::target::process::Process;

/// What it has. None where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of its memory in the machine's.
    pub resident: Option<u64>,
    /// How many threads it has.
    pub threads: Option<u64>,
    /// What its runtime counts.
    pub counters: Option<Counters>,
    /// How long the world was stopped.
    pub stops: Option<Stops>,
    /// What its goroutines do.
    pub census: Option<Census>,
}

impl Usage {
    /// Of a process of that program. Nothing of one that has ended.
    pub(super) fn of(process: &Process, program: &Program) -> Self {
        let threads = process.stat().ok().map(|stat| stat.threads);
        let usage = Self { resident: process.resident(), threads, ..Self::default() };
        let Ok(memory) = process.memory() else { return usage };
        match process.load_bias_by(&program.landmarks, &program.path, &memory) {
            Ok(bias) => usage.with_memory(process, program, bias, &memory),
            Err(error) => {
                tracing::debug!("process {}: {error}", process.pid);
                usage
            }
        }
    }

    fn with_memory(self, process: &Process, program: &Program, bias: u64, memory: &impl Memory) -> Self {
        let untold = |error: &dyn std::fmt::Display| tracing::debug!("process {}: {error}", process.pid);
        let counters = program
            .counters
            .as_ref()
            .and_then(|places| Counters::read(memory, bias, places).inspect_err(|error| untold(error)).ok());
        let stops = program
            .counters
            .as_ref()
            .and_then(|places| Pauses::read(memory, bias, places).inspect_err(|error| untold(error)).ok()?)
            .map(|pauses| Stops::of(&pauses));
        let census = program
            .census
            .as_ref()
            .and_then(|places| places.count(bias, memory).inspect_err(|error| untold(error)).ok().flatten());
        Self { counters, stops, census, ..self }
    }
}
