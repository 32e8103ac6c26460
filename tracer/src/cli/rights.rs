//! Gives up, for good, what root may do and gotrace has no use for: what it reads of programs was made by others.

use std::fs;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

use crate::doctor;

/// What a verb does beside looking.
#[derive(Clone, Copy, Default)]
pub(super) struct Beside {
    /// Writes files, in folders of the user who called sudo too, and makes them that user's.
    pub(super) writes: bool,
    /// Starts a program as the user who called sudo.
    pub(super) opens: bool,
    /// Looks at every CPU now and then, as `perf` does.
    pub(super) samples: bool,
    /// Enters another network namespace, to ask who is at the other side of sockets.
    pub(super) enters: bool,
    /// Holds others' execves.
    pub(super) holds: bool,
    /// Starts gotrace itself, which is to have what is kept here.
    pub(super) starts_itself: bool,
}

/// Keeps what looking needs, and what is done beside it.
///
/// To be called before there is another thread: each has its own.
pub(super) fn narrow(beside: Beside) {
    // Who has few already may not be allowed to take the rest from the bounding set; that is no reason to stop.
    if let Err(error) = keep(beside) {
        tracing::debug!("not every right was given up: {error}");
    }
}

fn keep(beside: Beside) -> Result<(), CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = kept(beside, &permitted).intersection(&permitted).copied().collect();
    caps::clear(None, CapSet::Inheritable)?;
    // First, as it takes a right of its own: a program started by whoever got in would have them back otherwise.
    let bounded = caps::all()
        .into_iter()
        .filter(|other| !kept.contains(other))
        .try_for_each(|other| caps::drop(None, CapSet::Bounding, other));
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    if beside.starts_itself {
        // Who is not root has nothing after an execve but what is in both (capabilities(7)).
        caps::set(None, CapSet::Inheritable, &kept)?;
        caps::set(None, CapSet::Ambient, &kept)?;
    }
    bounded
}

fn kept(beside: Beside, permitted: &CapsHashSet) -> CapsHashSet {
    let numbers: Vec<u8> = permitted.iter().map(Capability::index).collect();
    let has = |number: u32| numbers.iter().any(|known| u32::from(*known) == number);
    let needed: Vec<u32> = doctor::needed_capabilities()
        .into_iter()
        .map(|capability| match capability.stand_in() {
            Some(other) if !has(capability as u32) => other,
            _ => capability as u32,
        })
        .collect();
    let mut kept = caps::all();
    kept.retain(|capability| needed.contains(&capability.index().into()));
    if beside.enters || beside.holds || (beside.samples && is_paranoid()) {
        kept.insert(Capability::CAP_SYS_ADMIN);
    }
    if beside.writes {
        kept.extend([Capability::CAP_DAC_OVERRIDE, Capability::CAP_CHOWN]);
    }
    if beside.opens {
        kept.extend([Capability::CAP_SETUID, Capability::CAP_SETGID]);
    }
    kept
}

/// Whether this kernel lets nobody but who has CAP_SYS_ADMIN call `perf_event_open`: Debian's and others' do at a level
/// that Linux itself does not have ("security,perf: Allow further restriction of perf_event_open").
fn is_paranoid() -> bool {
    let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    level.trim().parse::<i32>().is_ok_and(|level| level > 2)
}
