//! Steps of a program's start.

use tracer_ebpf::wire::Probe;
pub use tracer_ebpf::wire::startup::Heap;
use tracer_ebpf::wire::startup::Hit as Record;

use super::{Account, DecodeError, prefix};
use crate::units::RuntimeAddr;

/// Execution reached a probed instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Whose instruction.
    pub probe: Probe,
    /// The instruction's address.
    pub ip: RuntimeAddr,
    /// What the site's register held: for [`Probe::Init`] the init task's address, for [`Probe::GoStart`] and
    /// [`Probe::GoExit`] the address behind the go statement, for [`Probe::ProcResize`] the number of Ps, for
    /// [`Probe::GcAssist`] the nanoseconds in `p.gcAssistTime`.
    pub argument: u64,
    /// Where the main thread's time went up to here.
    pub account: Account,
    /// What the process had allocated up to here, if that was asked for and could be had.
    pub heap: Option<Heap>,
}

pub(super) fn hit(probe: Probe, bytes: &[u8]) -> Result<Hit, DecodeError> {
    let Record { header: _, ip, argument, account, heap } = prefix(bytes)?;
    let heap = (heap != Heap::UNKNOWN).then_some(heap);
    Ok(Hit { probe, ip: RuntimeAddr(ip), argument, account, heap })
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::wire::Header;
    use zerocopy::IntoBytes as _;

    use super::super::{Event, EventKind, decode};
    use super::*;
    use crate::units::Nanos;

    #[test]
    fn a_hit_is_decoded() {
        let account = Account { on_cpu: 5, ..Account::default() };
        let hit = Record {
            header: Header { time: 7, probe: Probe::Init as u32, tid: 9 },
            ip: 0x40_1000,
            argument: 0x50_0000,
            account,
            heap: Heap { allocs: 3, bytes: 48 },
        };
        let event = decode(hit.as_bytes()).unwrap();
        let kind = EventKind::Hit(Hit {
            probe: Probe::Init,
            ip: RuntimeAddr(0x40_1000),
            argument: 0x50_0000,
            account,
            heap: Some(Heap { allocs: 3, bytes: 48 }),
        });
        assert_eq!(event, Event { time: Nanos(7), tid: 9, kind });
    }
}
