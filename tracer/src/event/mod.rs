//! Bytes -> typed events. Pure: no I/O, no aya. The bytes are taken for hostile, as a capture's would be.

mod account;
pub mod blocking;
mod decoder;
pub mod gc;
mod histogram;
pub mod parking;
mod process;
pub mod profile;
pub mod recorded;
mod startup;
mod syscall;
mod watch;

use thiserror::Error;
use tracer_ebpf::wire::{self, Probe};
use zerocopy::FromBytes;

pub use self::account::{Account, Wait, WaitKind};
pub use self::decoder::Decoder;
pub use self::startup::{Heap, Hit};
pub use self::syscall::Call;
pub use self::watch::{FileKey, NewFile, Origin};
use crate::units::Nanos;

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
    /// The probe that wrote it.
    #[must_use]
    pub fn probe(&self) -> Probe {
        match &self.kind {
            EventKind::Exec { .. } => Probe::Exec,
            EventKind::Exit => Probe::Exit,
            EventKind::Hit(hit) => hit.probe,
            EventKind::Wait(_) => Probe::Wait,
            EventKind::Call(_) => Probe::Call,
            EventKind::Slow(_) => Probe::Slow,
            EventKind::GcCycle(_) => Probe::GcCycle,
            EventKind::Stop(_) => Probe::WorldStarted,
            EventKind::Origin(_) => Probe::Origin,
            EventKind::NewFile(_) => Probe::NewFile,
            EventKind::Woken(_) => Probe::Woken,
            EventKind::Listen => Probe::Listen,
        }
    }

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
    /// A cycle of the garbage collector is over.
    GcCycle(Box<gc::Cycle>),
    /// The world was stopped, and goes on.
    Stop(Box<gc::Stop>),
    /// Which binary a watched process runs, and where.
    Origin(Origin),
    /// A process became a program of a file that was not told lately.
    NewFile(NewFile),
    /// A goroutine runs again that was parked for long, until another one made it ready.
    Woken(Box<parking::Woken>),
    /// A watched process listens for TCP connections, for the first time.
    Listen,
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
        Probe::Exec => process::exec(bytes)?,
        Probe::Wait => EventKind::Wait(Box::new(account::wait(bytes)?)),
        Probe::Call => EventKind::Call(Box::new(syscall::call(bytes)?)),
        Probe::Exit => EventKind::Exit,
        Probe::Slow => EventKind::Slow(Box::new(blocking::slow(bytes)?)),
        Probe::GcCycle => EventKind::GcCycle(Box::new(gc::cycle(bytes)?)),
        Probe::WorldStarted => EventKind::Stop(Box::new(gc::stop(bytes)?)),
        Probe::Origin => EventKind::Origin(watch::origin(bytes)?),
        Probe::NewFile => EventKind::NewFile(watch::new_file(bytes)?),
        Probe::Woken => EventKind::Woken(Box::new(parking::woken(bytes)?)),
        Probe::Listen => EventKind::Listen,
        Probe::Summed
        | Probe::WorldStopping
        | Probe::WorldStopped
        | Probe::WorldStarting
        | Probe::NetworkWait
        | Probe::OnCpu
        | Probe::Park
        | Probe::MadeReady
        | Probe::Execute => return Err(DecodeError::OnlyCounted { probe }),
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
        | Probe::GoExit
        | Probe::GcAssist => EventKind::Hit(startup::hit(probe, bytes)?),
    };
    Ok(Event { time: Nanos(header.time), tid: header.tid, kind })
}

fn prefix<T: FromBytes>(bytes: &[u8]) -> Result<T, DecodeError> {
    match T::read_from_prefix(bytes) {
        Ok((value, _rest)) => Ok(value),
        Err(_) => Err(DecodeError::TooShort { length: bytes.len() }),
    }
}

#[cfg(test)]
mod seeds_tests;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes as _;

    use super::*;

    #[test]
    fn what_is_no_record_is_refused() {
        assert_eq!(decode(&[0; 3]), Err(DecodeError::TooShort { length: 3 }));
        let header = wire::Header { time: 7, probe: Probe::Init as u32, tid: 9 };
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
