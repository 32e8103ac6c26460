//! What the main thread waits for.

use serde::{Deserialize, Serialize};
use tracer_ebpf::main_thread::NONE;
use tracer_ebpf::wire::Probe;
use tracer_ebpf::wire::account::Wait as Record;
pub use tracer_ebpf::wire::account::{Account, WaitKind};

use super::{DecodeError, prefix};
use crate::units::{Nanos, RuntimeAddr};

/// The main thread was kept off the CPU for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// When it left the CPU.
    pub start: Nanos,
    /// How long it could not run: in a system call, the sum of all its waits.
    pub duration: Nanos,
    /// What the kernel side takes it to have waited for.
    pub kind: WaitKind,
    /// The system call's number; none for a page fault.
    pub syscall: Option<u64>,
    /// The system call's first three arguments.
    pub arguments: [u64; 3],
    /// `g.waitreason` of the main goroutine, if it was parked.
    pub wait_reason: Option<u8>,
    /// When it waited in the network poller: the system call that would have blocked, and its descriptor.
    pub polled: Option<(u64, u64)>,
    /// The main goroutine's id, as far as it is known.
    pub goid: Option<u64>,
    /// The instruction that the thread was at.
    pub ip: RuntimeAddr,
    /// The main goroutine's stack, the innermost first: an instruction, then return addresses.
    pub stack: Vec<RuntimeAddr>,
}

pub(super) fn wait(bytes: &[u8]) -> Result<Wait, DecodeError> {
    let wait: Record = prefix(bytes)?;
    let impossible = |field, value| DecodeError::Impossible { probe: Probe::Wait, field, value };
    let kind = WaitKind::from_number(wait.kind).ok_or(impossible("kind", wait.kind.into()))?;
    let depth = usize::try_from(wait.depth).ok().and_then(|depth| wait.stack.get(..depth));
    let stack = depth.ok_or(impossible("depth", wait.depth))?;
    Ok(Wait {
        start: Nanos(wait.start),
        duration: Nanos(wait.duration),
        kind,
        syscall: (wait.syscall != NONE).then_some(wait.syscall),
        arguments: wait.arguments,
        wait_reason: u8::try_from(wait.wait_reason).ok(),
        polled: (wait.polled_syscall != NONE).then_some((wait.polled_syscall, wait.polled_fd)),
        goid: (wait.goid != 0).then_some(wait.goid),
        ip: RuntimeAddr(wait.ip),
        stack: stack.iter().map(|address| RuntimeAddr(*address)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::wire::Header;
    use tracer_ebpf::wire::account::MAX_DEPTH;
    use zerocopy::IntoBytes as _;

    use super::super::{EventKind, decode};
    use super::*;

    fn a_wait() -> Record {
        Record {
            header: Header { time: 7, probe: Probe::Wait as u32, tid: 9 },
            start: 1,
            duration: 2,
            ip: 3,
            syscall: 202,
            arguments: [4, 5, 6],
            polled_syscall: NONE,
            polled_fd: NONE,
            goid: 1,
            kind: WaitKind::Sleep as u32,
            wait_reason: u32::MAX,
            depth: 2,
            stack: [8; MAX_DEPTH],
        }
    }

    #[test]
    fn a_wait_is_decoded_and_an_impossible_one_refused() {
        let EventKind::Wait(wait) = decode(a_wait().as_bytes()).unwrap().kind else { panic!() };
        assert_eq!((wait.kind, wait.wait_reason, wait.stack.len()), (WaitKind::Sleep, None, 2));
        let deep = Record { depth: 1000, ..a_wait() };
        let error = decode(deep.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "a record of wait with the impossible depth 1000");
        assert!(decode(Record { kind: 99, ..a_wait() }.as_bytes()).is_err());
    }
}
