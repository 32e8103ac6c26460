//! Bytes -> typed events. Pure: no I/O, no aya. The bytes are taken for hostile, as a capture's would be.

pub mod recorded;

use thiserror::Error;
use tracer_ebpf::wire::{self, Probe, process, startup};
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

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The process became another program, of this name (the file's, cut at 15 bytes).
    Exec {
        /// The task's new name.
        comm: String,
    },
    /// The thread ended.
    Exit,
    /// Execution reached a probed instruction.
    Hit(Hit),
}

/// Execution reached a probed instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Whose instruction.
    pub probe: Probe,
    /// The instruction's address.
    pub ip: RuntimeAddr,
    /// What the site's register held: for [`Probe::Init`] the init task's address.
    pub argument: u64,
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
        Probe::Exec => EventKind::Exec { comm: comm(&prefix::<process::Exec>(bytes)?.comm) },
        Probe::Exit => EventKind::Exit,
        Probe::GoEntry
        | Probe::SchedInit
        | Probe::SchedInitDone
        | Probe::RuntimeMain
        | Probe::GcEnable
        | Probe::Init
        | Probe::MainMain => {
            let hit: startup::Hit = prefix(bytes)?;
            EventKind::Hit(Hit { probe, ip: RuntimeAddr(hit.ip), argument: hit.argument })
        }
    };
    Ok(Event { time: Nanos(header.time), tid: header.tid, kind })
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

    #[test]
    fn a_hit_is_decoded() {
        let hit = startup::Hit { header: header(Probe::Init as u32), ip: 0x40_1000, argument: 0x50_0000 };
        let event = decode(hit.as_bytes()).unwrap();
        let kind =
            EventKind::Hit(Hit { probe: Probe::Init, ip: RuntimeAddr(0x40_1000), argument: 0x50_0000 });
        assert_eq!(event, Event { time: Nanos(7), tid: 9, kind });
    }

    #[test]
    fn a_program_name_ends_at_its_zero() {
        let mut comm = [0; process::COMM_LEN];
        comm[..4].copy_from_slice(b"true");
        let exec = process::Exec { header: header(Probe::Exec as u32), comm };
        let event = decode(exec.as_bytes()).unwrap();
        assert_eq!(event.kind, EventKind::Exec { comm: "true".to_owned() });
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
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
