//! System calls whose objects matter.

use tracer_ebpf::main_thread::NONE;
use tracer_ebpf::wire::Probe;
use tracer_ebpf::wire::syscall::Call as Record;

use super::{DecodeError, prefix};

/// A system call that returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub syscall: u64,
    /// What it returned; a negative error number when it failed.
    pub result: i64,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// The path or socket address that it names; none when that could not be read.
    pub object: Option<Vec<u8>>,
}

pub(super) fn call(bytes: &[u8]) -> Result<Call, DecodeError> {
    let call: Record = prefix(bytes)?;
    let object = if call.object_len == NONE {
        None
    } else {
        let length = usize::try_from(call.object_len).ok().and_then(|length| call.object.get(..length));
        let impossible =
            DecodeError::Impossible { probe: Probe::Call, field: "object_len", value: call.object_len };
        Some(length.ok_or(impossible)?.to_vec())
    };
    Ok(Call { syscall: call.syscall, result: call.result.cast_signed(), arguments: call.arguments, object })
}
