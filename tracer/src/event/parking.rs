//! Why goroutines do not run: the sums as the kernel side keeps them.

use serde::{Deserialize, Serialize};
pub use tracer_ebpf::wire::parking::Waker;
use tracer_ebpf::wire::{Probe, parking as wire};

use super::blocking::StackTaken;
use super::histogram;
use super::{DecodeError, prefix};
use crate::units::{Nanos, RuntimeAddr};

/// What is summed up apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ParkKey {
    /// `g.waitreason`, which Go numbers anew from version to version.
    pub reason: u8,
    /// The stack of who parked.
    pub stack: StackTaken,
    /// The address behind the go statement that made that goroutine.
    pub gopc: Option<RuntimeAddr>,
    /// Who made it ready.
    pub waker: Waker,
    /// The address behind the go statement that made the waker.
    pub waker_gopc: Option<RuntimeAddr>,
}

/// The sums of one [`ParkKey`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkTotal {
    /// Of what.
    pub key: ParkKey,
    /// How many ran again.
    pub count: u64,
    /// How many more were made ready that had been parked before gotrace came; their time is not known.
    pub joined: u64,
    /// The time from where they were parked to where they ran again.
    pub total: Nanos,
    /// The part of it in which they were ready to run, of those whose waker was seen.
    pub runnable: Nanos,
    /// The longest's.
    pub longest: Nanos,
    /// How many took how long; bucket `i` ends at [`super::blocking::bucket_end`]`(i)` nanoseconds.
    #[serde(with = "histogram")]
    pub histogram: Vec<u32>,
}

/// A goroutine that is parked, or ready and does not run yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedNow {
    /// Its id.
    pub goid: u64,
    /// Since when, on the boot clock.
    pub since: Nanos,
    /// When it was made ready.
    pub ready: Option<Nanos>,
    /// As far as it is known by now.
    pub key: ParkKey,
}

/// A goroutine runs again that was parked for long, until another one made it ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken {
    /// Its id.
    pub goid: u64,
    /// Since when it was parked, on the boot clock.
    pub since: Nanos,
    /// When it was made ready.
    pub ready: Nanos,
    /// By which goroutine.
    pub waker_goid: u64,
    /// What it was summed up under.
    pub key: ParkKey,
}

/// Of its record.
pub(super) fn woken(bytes: &[u8]) -> Result<Woken, DecodeError> {
    let wire::Woken { header: _, goid, parked } = prefix(bytes)?;
    let ParkedNow { since, ready, key, .. } = ParkedNow::new(goid, &parked)?;
    let impossible = |field| DecodeError::Impossible { probe: Probe::Woken, field, value: 0 };
    let ready = ready.ok_or(impossible("time of being made ready"))?;
    let waker_goid = Some(parked.waker_goid).filter(|goid| *goid != 0).ok_or(impossible("waker"))?;
    Ok(Woken { goid, since, ready, waker_goid, key })
}

fn key(
    (reason, waker): (u32, u32),
    stack: i64,
    (gopc, waker_gopc): (u64, u64),
) -> Result<ParkKey, DecodeError> {
    let impossible =
        |field, value: u32| DecodeError::Impossible { probe: Probe::Park, field, value: value.into() };
    let some = |address: u64| (address != 0).then_some(RuntimeAddr(address));
    Ok(ParkKey {
        reason: u8::try_from(reason).map_err(|_| impossible("wait reason", reason))?,
        stack: StackTaken::of(stack),
        gopc: some(gopc),
        waker: Waker::from_number(waker).ok_or_else(|| impossible("waker", waker))?,
        waker_gopc: some(waker_gopc),
    })
}

impl ParkTotal {
    /// Of what the kernel side keeps.
    ///
    /// # Errors
    /// When the key holds what it cannot.
    pub fn new(of: &wire::Key, stats: &wire::Stats) -> Result<Self, DecodeError> {
        Ok(Self {
            key: key((of.reason, of.waker), of.stack, (of.gopc, of.waker_gopc))?,
            count: stats.count,
            joined: stats.joined,
            total: Nanos(stats.total),
            runnable: Nanos(stats.runnable),
            longest: Nanos(stats.longest),
            histogram: stats.histogram.to_vec(),
        })
    }
}

impl ParkedNow {
    /// Of what the kernel side keeps.
    ///
    /// # Errors
    /// When it holds what it cannot.
    pub fn new(goid: u64, of: &wire::Parked) -> Result<Self, DecodeError> {
        Ok(Self {
            goid,
            since: Nanos(of.since),
            ready: (of.ready != 0).then_some(Nanos(of.ready)),
            key: key((of.reason, of.waker), of.stack, (of.gopc, of.waker_gopc))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::wire::Header;
    use zerocopy::IntoBytes as _;

    use super::super::{EventKind, decode};
    use super::*;

    #[test]
    fn a_key_is_decoded_and_an_impossible_one_refused() {
        let of = wire::Parked {
            since: 5,
            stack: -17,
            gopc: 0x40_0000,
            ready: 0,
            waker_gopc: 0,
            waker_goid: 0,
            reason: 19,
            waker: Waker::Runtime as u32,
        };
        let parked = ParkedNow::new(7, &of).unwrap();
        assert_eq!((parked.ready, parked.key.waker_gopc), (None, None));
        assert_eq!((parked.key.reason, parked.key.waker), (19, Waker::Runtime));
        assert_eq!(parked.key.stack, StackTaken::Lost(-17));
        let refused = |of| ParkedNow::new(7, &of).unwrap_err().to_string();
        assert_eq!(refused(wire::Parked { waker: 4, ..of }), "a record of park with the impossible waker 4");
        assert_eq!(
            refused(wire::Parked { reason: 256, ..of }),
            "a record of park with the impossible wait reason 256"
        );
    }

    #[test]
    fn who_was_woken_is_decoded_and_refused_when_nobody_woke_it() {
        let parked = wire::Parked {
            since: 5,
            stack: 3,
            gopc: 0,
            ready: 7,
            waker_gopc: 0x40_0000,
            waker_goid: 18,
            reason: 15,
            waker: Waker::Goroutine as u32,
        };
        let header = Header { time: 9, probe: Probe::Woken as u32, tid: 1 };
        let event = |parked| decode(wire::Woken { header, goid: 1, parked }.as_bytes());
        let told = event(parked).unwrap();
        assert_eq!((told.time, told.probe()), (Nanos(9), Probe::Woken));
        let EventKind::Woken(woken) = told.kind else { panic!("{told:?}") };
        assert_eq!((woken.goid, woken.waker_goid, woken.since, woken.ready), (1, 18, Nanos(5), Nanos(7)));
        assert_eq!(woken.key.waker_gopc, Some(RuntimeAddr(0x40_0000)));
        for impossible in [wire::Parked { ready: 0, ..parked }, wire::Parked { waker_goid: 0, ..parked }] {
            assert!(matches!(event(impossible), Err(DecodeError::Impossible { probe: Probe::Woken, .. })));
        }
    }
}
