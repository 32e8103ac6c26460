//! Where a running program was met on a CPU.

use serde::{Deserialize, Serialize};
use tracer_ebpf::wire::{
    Probe,
    profile::{IN_USER_CODE, Sample as WireSample},
};

use super::DecodeError;
use super::blocking::{Caller, StackTaken};
use crate::units::RuntimeAddr;

/// Samples that were alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// Where.
    pub stack: StackTaken,
    /// Who ran.
    pub caller: Caller,
    /// The address behind the go statement that made the goroutine.
    pub gopc: Option<RuntimeAddr>,
    /// The system call that it was in, in the kernel.
    pub syscall: Option<u64>,
    /// How many.
    pub count: u64,
}

impl Samples {
    /// Of what the kernel side keeps.
    ///
    /// # Errors
    /// When the key holds what it cannot.
    pub fn new(sample: &WireSample, count: u64) -> Result<Self, DecodeError> {
        let WireSample { stack, gopc, caller, syscall } = *sample;
        let impossible =
            DecodeError::Impossible { probe: Probe::OnCpu, field: "caller", value: caller.into() };
        Ok(Self {
            stack: StackTaken::of(stack),
            caller: Caller::from_number(caller).ok_or(impossible)?,
            gopc: (gopc != 0).then_some(RuntimeAddr(gopc)),
            syscall: (syscall != IN_USER_CODE).then_some(syscall.into()),
            count,
        })
    }
}
