//! Bytes -> typed events. Pure: no I/O, no aya. The bytes are taken for hostile, as a capture's would be.

pub mod blocking;
pub mod profile;
pub mod recorded;

use thiserror::Error;
use tracer_ebpf::main_thread::NONE;
pub use tracer_ebpf::wire::account::{Account, WaitKind};
pub use tracer_ebpf::wire::startup::Heap;
use tracer_ebpf::wire::{self, Probe, account, process, startup, syscall};
use zerocopy::FromBytes;

use crate::units::{Nanos, RuntimeAddr};

/// Something that happened in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Nanos,
    /// On which thread.
    pub tid: u32,
    /// What.
    pub kind: EventKind,
}

impl Event {
    /// Whether `main.main` began.
    #[must_use]
    pub fn is_main(&self) -> bool {
        matches!(&self.kind, EventKind::Hit(hit) if hit.probe == Probe::MainMain)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The process became another program, of this name (the file's, cut at 15 bytes).
    Exec {
        /// The task's new name.
        comm: String,
        /// Where the main thread's time went since it called execve.
        account: Account,
    },
    /// The thread ended.
    Exit,
    /// Execution reached a probed instruction.
    Hit(Hit),
    /// The main thread was kept off the CPU for long, and is back.
    Wait(Box<Wait>),
    /// A system call returned whose object matters.
    Call(Box<Call>),
    /// A slow system call returned, or a slow wait in the network poller ended.
    Slow(Box<blocking::Slow>),
}

/// Execution reached a probed instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Whose instruction.
    pub probe: Probe,
    /// The instruction's address.
    pub ip: RuntimeAddr,
    /// What the site's register held: for [`Probe::Init`] the init task's address, for [`Probe::GoStart`] and
    /// [`Probe::GoExit`] the address behind the go statement, for [`Probe::ProcResize`] the number of Ps.
    pub argument: u64,
    /// Where the main thread's time went up to here.
    pub account: Account,
    /// What the process had allocated up to here, if that was asked for and could be had.
    pub heap: Option<Heap>,
}

/// The main thread was kept off the CPU for long.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Bytes that are no record of this version.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Too short for its kind.
    #[error("a record of {length} bytes is too short")]
    TooShort {
        /// How long it is.
        length: usize,
    },
    /// A field that holds what it cannot.
    #[error("a record of {probe} with the impossible {field} {value}")]
    Impossible {
        /// Whose record.
        probe: Probe,
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// A probe that is only counted, and has no records.
    #[error("a record of {probe}, which has none")]
    OnlyCounted {
        /// Which.
        probe: Probe,
    },
    /// A kind from another version.
    #[error("a record of the unknown probe {number}")]
    UnknownProbe {
        /// The probe's number.
        number: u32,
    },
}

/// Decodes one record.
///
/// # Errors
/// When the bytes are too short, or of a probe that this version does not know.
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    let header: wire::Header = prefix(bytes)?;
    let probe = Probe::from_number(header.probe).ok_or(DecodeError::UnknownProbe { number: header.probe })?;
    let kind = match probe {
        Probe::Exec => {
            let exec: process::Exec = prefix(bytes)?;
            EventKind::Exec { comm: comm(&exec.comm), account: exec.account }
        }
        Probe::Wait => EventKind::Wait(Box::new(wait(&prefix(bytes)?)?)),
        Probe::Call => EventKind::Call(Box::new(call(&prefix(bytes)?)?)),
        Probe::Exit => EventKind::Exit,
        Probe::Slow => {
            let slow: wire::blocking::Slow = prefix(bytes)?;
            EventKind::Slow(Box::new(blocking::Slow::try_from(&slow)?))
        }
        Probe::Summed | Probe::NetworkWait | Probe::OnCpu => return Err(DecodeError::OnlyCounted { probe }),
        Probe::GoEntry
        | Probe::SchedInit
        | Probe::SchedInitDone
        | Probe::RuntimeMain
        | Probe::GcEnable
        | Probe::Init
        | Probe::MainMain
        | Probe::MallocInit
        | Probe::MallocInitDone
        | Probe::GcInit
        | Probe::GcInitDone
        | Probe::ProcResize
        | Probe::ProcResizeDone
        | Probe::Sysmon
        | Probe::InitFunction
        | Probe::GoStart
        | Probe::GoExit => {
            let hit: startup::Hit = prefix(bytes)?;
            let startup::Hit { header: _, ip, argument, account, heap } = hit;
            let heap = (heap != Heap::UNKNOWN).then_some(heap);
            EventKind::Hit(Hit { probe, ip: RuntimeAddr(ip), argument, account, heap })
        }
    };
    Ok(Event { time: Nanos(header.time), tid: header.tid, kind })
}

fn wait(wait: &account::Wait) -> Result<Wait, DecodeError> {
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

fn call(call: &syscall::Call) -> Result<Call, DecodeError> {
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

fn prefix<T: FromBytes>(bytes: &[u8]) -> Result<T, DecodeError> {
    match T::read_from_prefix(bytes) {
        Ok((value, _rest)) => Ok(value),
        Err(_) => Err(DecodeError::TooShort { length: bytes.len() }),
    }
}

fn comm(bytes: &[u8]) -> String {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes as _;

    use super::*;

    fn header(probe: u32) -> wire::Header {
        wire::Header { time: 7, probe, tid: 9 }
    }

    fn account() -> Account {
        Account { on_cpu: 5, ..Account::default() }
    }

    fn a_wait() -> account::Wait {
        account::Wait {
            header: header(Probe::Wait as u32),
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
            stack: [8; account::MAX_DEPTH],
        }
    }

    #[test]
    fn a_wait_is_decoded_and_an_impossible_one_refused() {
        let EventKind::Wait(wait) = decode(a_wait().as_bytes()).unwrap().kind else { panic!() };
        assert_eq!((wait.kind, wait.wait_reason, wait.stack.len()), (WaitKind::Sleep, None, 2));
        let deep = account::Wait { depth: 1000, ..a_wait() };
        let error = decode(deep.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "a record of wait with the impossible depth 1000");
        assert!(decode(account::Wait { kind: 99, ..a_wait() }.as_bytes()).is_err());
    }

    #[test]
    fn a_hit_is_decoded() {
        let hit = startup::Hit {
            header: header(Probe::Init as u32),
            ip: 0x40_1000,
            argument: 0x50_0000,
            account: account(),
            heap: Heap { allocs: 3, bytes: 48 },
        };
        let event = decode(hit.as_bytes()).unwrap();
        let kind = EventKind::Hit(Hit {
            probe: Probe::Init,
            ip: RuntimeAddr(0x40_1000),
            argument: 0x50_0000,
            account: account(),
            heap: Some(Heap { allocs: 3, bytes: 48 }),
        });
        assert_eq!(event, Event { time: Nanos(7), tid: 9, kind });
    }

    #[test]
    fn a_program_name_ends_at_its_zero() {
        let mut comm = [0; process::COMM_LEN];
        comm[..4].copy_from_slice(b"true");
        let exec = process::Exec { header: header(Probe::Exec as u32), comm, account: account() };
        let event = decode(exec.as_bytes()).unwrap();
        assert_eq!(event.kind, EventKind::Exec { comm: "true".to_owned(), account: account() });
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert_eq!(decode(&[0; 3]), Err(DecodeError::TooShort { length: 3 }));
        let header = header(Probe::Init as u32);
        assert_eq!(decode(header.as_bytes()), Err(DecodeError::TooShort { length: 16 }));
        let unknown = wire::Header { time: 0, probe: 99, tid: 0 };
        assert_eq!(decode(unknown.as_bytes()), Err(DecodeError::UnknownProbe { number: 99 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..1024)) {
            let _ = decode(&bytes);
        }
    }
}
