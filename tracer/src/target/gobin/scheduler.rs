//! Where the scheduler counts goroutines: offsets by Go version, which a program's own code must confirm
//! (runtime/runtime2.go, runtime/proc.go).

use serde::{Deserialize, Serialize};

use super::collector::CollectorRefusal;
use super::effects::{Effect, Value, effects};
use super::globals::agreed;
use super::{GoBinary, GoVersion, Machine, offsets};
use crate::units::VirtAddr;

/// Offsets in bytes, in `runtime.sched` and in `runtime.p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerLayout {
    /// `sched.lock`
    pub lock: u32,
    /// `sched.gcwaiting`; `stopwait` is 4 bytes behind it and `stopnote` 8.
    pub gcwaiting: u32,
    /// `sched.ngsys`, 4 bytes: how many goroutines are the runtime's own.
    pub ngsys: u32,
    /// How many ended goroutines are in `sched.gFree`, 4 bytes: those with a stack, from Go 1.25 on.
    pub free: u32,
    /// How many are in `sched.gFree.noStack`, 4 bytes, where they are counted by themselves.
    pub free_without_stack: Option<u32>,
    /// The count of those in `p.gFree`, 4 bytes.
    pub free_of_p: u32,
}

impl SchedulerLayout {
    /// What the table has of a Go version; none when it was not measured, or when experiments may have changed it.
    /// [`GoBinary::scheduler`] shows for each program whether its own code agrees.
    #[must_use]
    pub fn of(version: &GoVersion) -> Option<Self> {
        offsets::of(version)?.scheduler
    }
}

/// The variables that say how many goroutines there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerGlobals {
    /// `runtime.sched`
    pub sched: VirtAddr,
    /// `runtime.allglen`: how many goroutines there are, ended ones as well.
    pub allglen: VirtAddr,
    /// `runtime.allp`
    pub allp: VirtAddr,
}

/// Stands for the P that a function is handed.
const P: u64 = 1 << 62;

impl GoBinary {
    /// Where the scheduler counts goroutines.
    ///
    /// # Errors
    /// When the layout of the version is not known, the code does not tell where the variables are, or does not
    /// confirm each offset.
    pub fn scheduler(&self) -> Result<(SchedulerLayout, SchedulerGlobals), CollectorRefusal> {
        let layout = self.scheduler_layout()?;
        Ok((layout, self.scheduler_globals(&layout)?))
    }

    pub(super) fn scheduler_layout(&self) -> Result<SchedulerLayout, CollectorRefusal> {
        let layout = self.layouts().and_then(|layouts| layouts.scheduler);
        layout.ok_or_else(|| CollectorRefusal::Layout(self.version().to_string()))
    }

    /// The same with a layout that is given: what the code does not confirm is refused.
    ///
    /// # Errors
    /// As [`GoBinary::scheduler`].
    pub fn scheduler_globals(&self, layout: &SchedulerLayout) -> Result<SchedulerGlobals, CollectorRefusal> {
        if self.machine() != Machine::X86_64 {
            return Err(CollectorRefusal::Machine(self.machine()));
        }
        let sched = self.sched(layout).ok_or(CollectorRefusal::Global("runtime.sched"))?;
        let within = |at: &u64| at.checked_sub(sched.0).filter(|offset| *offset < SIZE);
        let require = |function, field, is_shown: bool| {
            is_shown.then_some(()).ok_or(CollectorRefusal::Unproven { function, field })
        };

        // `sched.goidgen.Add(…)`, which is its first field, and `sched.ngsys.Add(1)`.
        let made = self.added("runtime.newproc1", None).iter().filter_map(within).collect::<Vec<_>>();
        let ngsys = u64::from(layout.ngsys);
        let is_shown = ngsys != 0 && made.contains(&ngsys) && made.iter().all(|at| [0, ngsys].contains(at));
        require("runtime.newproc1", "sched.ngsys", is_shown)?;

        // It moves ended goroutines from the P's list to the scheduler's, and adds their number.
        let mut freed = self.added(FREE, Some(P)).iter().filter_map(within).collect::<Vec<_>>();
        freed.sort_unstable();
        freed.dedup();
        let counts = [Some(layout.free), layout.free_without_stack].into_iter().flatten().map(u64::from);
        require(FREE, "sched.gFree", freed.iter().copied().eq(counts))?;

        // Of the P it sets the list's head, and the number behind it, and nothing else.
        let mut set: Vec<u64> = self
            .done_by(FREE, Some(P))
            .iter()
            .filter_map(|effect| match effect {
                Effect::Set(at, _) | Effect::Add(at, _) => at.checked_sub(P).filter(|offset| *offset < SIZE),
                _ => None,
            })
            .collect();
        set.sort_unstable();
        set.dedup();
        let free_of_p = u64::from(layout.free_of_p);
        require(FREE, "p.gFree", set == [free_of_p.wrapping_sub(8), free_of_p])?;

        Ok(SchedulerGlobals {
            sched,
            allglen: self.allglen().ok_or(CollectorRefusal::Global("runtime.allglen"))?,
            allp: self.allp().ok_or(CollectorRefusal::Global("runtime.allp"))?,
        })
    }

    /// `runtime.sched`
    pub(super) fn sched(&self, layout: &SchedulerLayout) -> Option<VirtAddr> {
        let SchedulerLayout { lock, gcwaiting, .. } = *layout;
        let (stopwait, stopnote) = (gcwaiting + 4, gcwaiting + 8);
        agreed(
            self,
            &[
                ("runtime.stopTheWorldWithSema", &[stopwait, stopnote, gcwaiting, lock]),
                ("runtime.startTheWorldWithSema", &[gcwaiting, lock]),
                ("runtime.findRunnable", &[gcwaiting, lock]),
            ],
        )
    }

    /// `runtime.allglen`: `atomic.Storeuintptr(&allglen, uintptr(len(allgs)))`, and `allgs` was set before.
    fn allglen(&self) -> Option<VirtAddr> {
        let done = self.done_by("runtime.allgadd", None);
        let is_set =
            |place: u64| done.iter().any(|effect| matches!(effect, Effect::Set(at, _) if *at == place));
        let places = done.iter().filter_map(|effect| match effect {
            Effect::Store(at, Value::Of(len)) if is_set(*len) && is_set(len.wrapping_sub(8)) => Some(*at),
            _ => None,
        });
        match places.collect::<Vec<_>>()[..] {
            [place] => Some(VirtAddr(place)),
            _ => None,
        }
    }

    fn done_by(&self, function: &str, receiver: Option<u64>) -> Vec<Effect> {
        let found = self.functions().named(function);
        // A function that is not there, or cannot be decoded, does nothing that could prove anything.
        found.and_then(|found| effects(self, &found, receiver).ok()).unwrap_or_default()
    }

    /// The variables that a function adds to.
    fn added(&self, function: &str, receiver: Option<u64>) -> Vec<u64> {
        let added = self.done_by(function, receiver).into_iter().filter_map(|effect| match effect {
            Effect::Add(at, _) => Some(at),
            _ => None,
        });
        added.collect()
    }
}

const FREE: &str = "runtime.gfput";

/// More than `runtime.sched` and `runtime.p` have.
const SIZE: u64 = 1 << 14;

#[cfg(test)]
mod tests {
    use super::super::VersionSource;
    use super::*;

    #[test]
    fn only_what_was_measured_has_a_layout() {
        let of = |text: &str| {
            SchedulerLayout::of(&GoVersion::parse(text, VersionSource::BuildInfo).expect("a version"))
        };
        for known in ["go1.21.0", "go1.23.1", "go1.25.5", "go1.27"] {
            assert!(of(known).is_some(), "{known}");
        }
        for unknown in ["go1.19.8", "go1.20.14", "go1.28.0", "go1.26.6-X:greenteagc"] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }
}
