//! How many goroutines there are, as `runtime.gcount` reckons (runtime/proc.go): all that were ever made, without those
//! that have ended and wait in lists to be used again, and without the runtime's own.

use super::super::memory::Memory;
use super::{CounterError, CounterPlaces};
use crate::units::{RuntimeAddr, VirtAddr};

/// What the scheduler counts.
#[derive(Clone, Copy)]
pub(super) struct Scheduled {
    pub(super) goroutines: u64,
    pub(super) gomaxprocs: u64,
}

/// More than the processors of any machine that Go runs on.
const MOST_PS: u64 = 1 << 14;

/// A P's list is given away, half of it, as soon as it has so many (`gfput`).
const MOST_FREE_OF_P: u32 = 64;

/// The counts are ones of 32 bits.
const MOST: u64 = u32::MAX as u64;

impl Scheduled {
    /// None when the places are not known, when the runtime has not begun, and when the counts contradict each other.
    pub(super) fn read(
        memory: &impl Memory,
        bias: u64,
        places: &CounterPlaces,
    ) -> Result<Option<Self>, CounterError> {
        let Ok((layout, globals)) = &places.scheduler else { return Ok(None) };
        let at = |variable: VirtAddr, offset: u32| {
            RuntimeAddr(variable.0.wrapping_add(bias).wrapping_add(offset.into()))
        };
        let mut slice = [0; 24];
        memory.read(at(globals.allp, 0), &mut slice)?;
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let (array, len, capacity) = (word(&slice[..8]), word(&slice[8..16]), word(&slice[16..]));
        let made = memory.u64(at(globals.allglen, 0))?;
        if !(1..=MOST_PS.min(capacity)).contains(&len) || array == 0 || !(1..=MOST).contains(&made) {
            return Ok(None);
        }
        let counts = [Some(layout.ngsys), Some(layout.free), layout.free_without_stack];
        let mut out = 0;
        for offset in counts.into_iter().flatten() {
            out += u64::from(memory.u32(at(globals.sched, offset))?);
        }
        // Each of them is of goroutines that are in the list.
        if out > made {
            return Ok(None);
        }
        let mut ps = vec![0; usize::try_from(len * 8).unwrap_or(0)];
        memory.read(RuntimeAddr(array), &mut ps)?;
        for p in ps.chunks_exact(8).map(word) {
            let free = memory.u32(RuntimeAddr(p.wrapping_add(layout.free_of_p.into())))?;
            if free > MOST_FREE_OF_P {
                return Ok(None);
            }
            out += u64::from(free);
        }
        // They change while they are added up; the one that asks is one, says Go.
        let goroutines = made.saturating_sub(out).max(1);
        Ok(Some(Self { goroutines, gomaxprocs: len }))
    }
}
