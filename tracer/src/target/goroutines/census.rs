//! What the goroutines of a running program do, in numbers: of the binary only some dozens of bytes are kept for it, and of a
//! goroutine nothing but its `runtime.g` is read.

use std::collections::BTreeMap;

use super::super::gobin::{GoBinary, GoVersion, ReasonKind};
use super::super::memory::Memory;
use super::super::unwind::{Step, Steps};
use super::list::{ListPlaces, addresses};
use super::walk::{Names, Walk};
use super::{GoroutineError, GoroutineStatus, Goroutines, Limits};
use crate::units::RuntimeAddr;

/// Of a program that has, or had, more at a time nothing is told: 20 MB of its memory would be read.
const MOST: usize = 64 << 10;

/// Where the goroutines of a binary's processes are found.
#[derive(Clone, Debug)]
pub struct CensusPlaces {
    list: ListPlaces,
    version: GoVersion,
}

/// How many goroutines do what. The runtime's own are left out where what they wait for tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Parked ones, by what they wait for.
    pub waiting: BTreeMap<ReasonKind, u64>,
    /// Those in system calls or in C code.
    pub in_syscall: u64,
    /// Those that wait for a P.
    pub runnable: u64,
}

impl CensusPlaces {
    /// Those of a binary.
    ///
    /// # Errors
    /// When the layout of the version's goroutines is not known, or nothing refers to their list.
    pub fn of(binary: &GoBinary) -> Result<Self, GoroutineError> {
        Ok(Self { list: ListPlaces::of(binary)?, version: binary.version().clone() })
    }

    /// Counts them in a process whose addresses are larger than its binary's by `bias`; none when there are too many,
    /// or no first one yet.
    ///
    /// # Errors
    /// When the memory is not readable, or not as expected.
    pub fn count(&self, bias: u64, memory: &impl Memory) -> Result<Option<Census>, GoroutineError> {
        let Some(place) = self.list.find(bias, memory)? else { return Ok(None) };
        let (addresses, beyond) = addresses(memory, place, MOST)?;
        if beyond > 0 {
            return Ok(None);
        }
        let limits = Limits { listed: MOST, told: 0, stacks: 0, groups: MOST };
        let walk = Walk::new(memory, NoCode, self.list.layout, &self.version, limits);
        Ok(Some(Census::of(&walk.read(addresses))))
    }
}

impl Census {
    fn of(goroutines: &Goroutines) -> Self {
        let mut census = Self::default();
        for group in &goroutines.groups {
            let count = group.count as u64;
            match group.place.status {
                GoroutineStatus::Waiting => {
                    let kind = group.place.wait.map_or(ReasonKind::Other, |wait| wait.kind);
                    if kind != ReasonKind::Idle {
                        *census.waiting.entry(kind).or_default() += count;
                    }
                }
                GoroutineStatus::Syscall => census.in_syscall += count,
                GoroutineStatus::Runnable | GoroutineStatus::Preempted => census.runnable += count,
                GoroutineStatus::Running | GoroutineStatus::Dead | GoroutineStatus::Moving => {}
            }
        }
        census
    }
}

/// No stack is read, so no code is looked at.
#[derive(Clone, Copy)]
struct NoCode;

impl Steps for NoCode {
    fn step(&self, _: RuntimeAddr, _: bool) -> Option<Step> {
        None
    }
}

impl Names for NoCode {
    fn name(&self, _: RuntimeAddr) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Group, Place, WaitReason};
    use super::*;

    fn group(status: GoroutineStatus, kind: Option<ReasonKind>, pc: u64, count: usize) -> Group {
        let nowhere = RuntimeAddr(0);
        let wait = kind.map(|kind| WaitReason { number: 1, text: "", kind });
        let place = Place {
            status,
            wait,
            created: nowhere,
            start: nowhere,
            pc: RuntimeAddr(pc),
            depth: 0,
            system: false,
        };
        Group { place, count, told: 0, oldest_wait: None }
    }

    #[test]
    fn what_waits_is_told_by_its_cause_and_the_runtimes_own_is_left_out() {
        use GoroutineStatus::{Runnable, Running, Syscall, Waiting};
        let groups = vec![
            group(Waiting, Some(ReasonKind::Channel), 1, 3),
            group(Waiting, Some(ReasonKind::Channel), 2, 4),
            group(Waiting, Some(ReasonKind::Idle), 3, 5),
            group(Waiting, None, 4, 1),
            group(Syscall, None, 5, 2),
            group(Runnable, None, 6, 9),
            group(Running, None, 7, 6),
        ];
        let census = Census::of(&Goroutines { groups, ..Goroutines::default() });
        let waiting = BTreeMap::from([(ReasonKind::Channel, 7), (ReasonKind::Other, 1)]);
        assert_eq!(census, Census { waiting, in_syscall: 2, runnable: 9 });
    }
}
