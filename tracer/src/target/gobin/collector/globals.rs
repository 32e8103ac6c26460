//! The variables of the collector: where they are, by what the functions that work with them agree on, and that they
//! are laid out as their version's are, by what the code does with them.

use thiserror::Error;

use super::super::globals::agreed;
use super::super::{GoBinary, Machine};
use super::{CollectorLayout, proof};
use crate::units::VirtAddr;

/// The variables that the collector keeps its notes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorGlobals {
    /// `runtime.work`
    pub work: VirtAddr,
    /// `runtime.gcController`
    pub controller: VirtAddr,
    /// `runtime.memstats`
    pub memstats: VirtAddr,
    /// `runtime.runtimeInitTime`: nanotime when the program began, which gctrace's `@` counts from.
    pub runtime_init_time: VirtAddr,
    /// What tells who keeps the world from stopping. A detail: the cycles and the stops are told without it.
    pub holders: Result<Holders, CollectorRefusal>,
}

/// The variables that tell who keeps the world from stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holders {
    /// `runtime.sched.stopnote`, on which sleeps who stops the world. `runtime.sched.stopwait` is the 4 bytes before
    /// it.
    pub stopnote: VirtAddr,
    /// `runtime.allp`
    pub allp: VirtAddr,
}

/// Why nothing can be told of the collector.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CollectorRefusal {
    /// The offsets were not measured.
    #[error("where {0}'s garbage collector keeps what it notes is not known to gotrace")]
    Layout(String),
    /// Its own debug information has them, and what is read of them is less than they span.
    #[error("{0}'s runtime.work is larger than what gotrace reads of it")]
    Larger(String),
    /// Only x86-64 code is decoded.
    #[error("what {0} code works with is not read by gotrace")]
    Machine(Machine),
    /// The functions that work with the variable agree on no place, or on more than one.
    #[error("its code does not tell where {0} is")]
    Global(&'static str),
    /// The code does something else, or the same in a way that is not known.
    #[error("the code of {function} does not show that {field} is where gotrace knows it to be")]
    Unproven {
        /// The function whose code was looked at.
        function: &'static str,
        /// The field.
        field: &'static str,
    },
}

impl GoBinary {
    /// Where the collector keeps what it notes of its cycles.
    ///
    /// # Errors
    /// When the layout of the version is not known or not read, the code does not tell where the variables are, or does
    /// not confirm each offset.
    pub fn collector(&self) -> Result<(CollectorLayout, CollectorGlobals), CollectorRefusal> {
        let layout =
            self.collector_layout().ok_or_else(|| CollectorRefusal::Layout(self.version().to_string()))?;
        if layout.work.user_forced < layout.work.from() {
            return Err(CollectorRefusal::Larger(self.version().to_string()));
        }
        Ok((layout, self.collector_globals(&layout)?))
    }

    /// The same with a layout that is given: what the code does not confirm is refused.
    ///
    /// # Errors
    /// As [`GoBinary::collector`].
    pub fn collector_globals(&self, layout: &CollectorLayout) -> Result<CollectorGlobals, CollectorRefusal> {
        if self.machine() != Machine::X86_64 {
            return Err(CollectorRefusal::Machine(self.machine()));
        }
        let found = |variable, place: Option<VirtAddr>| place.ok_or(CollectorRefusal::Global(variable));
        let places = proof::Places {
            work: found("runtime.work", self.work(layout))?.0,
            controller: found("runtime.gcController", self.controller(layout))?.0,
            memstats: found("runtime.memstats", self.collector_stats(layout))?.0,
        };
        Ok(CollectorGlobals {
            runtime_init_time: proof::prove(self, layout, &places)?,
            work: VirtAddr(places.work),
            controller: VirtAddr(places.controller),
            memstats: VirtAddr(places.memstats),
            holders: self.holders(),
        })
    }

    fn work(&self, layout: &CollectorLayout) -> Option<VirtAddr> {
        let work = layout.work;
        let (sweep_term, mark_term) = (work.t_sweep_term, work.t_sweep_term + 16);
        agreed(
            self,
            &[
                (
                    "runtime.gcMarkTermination",
                    &[work.maxprocs, sweep_term, mark_term, work.pause_ns, work.heap0],
                ),
                ("runtime.gcStart", &[work.maxprocs, work.cycles, sweep_term, work.pause_ns, work.heap0]),
                ("runtime.gcMarkDone", &[mark_term]),
                // `full`, `assistQueue` and the like begin it.
                ("runtime.gcMark", &[0]),
            ],
        )
    }

    fn controller(&self, layout: &CollectorLayout) -> Option<VirtAddr> {
        let controller = layout.controller;
        let (goal, live) = (controller.last_heap_goal, controller.heap_live);
        let (assist, idle) = (controller.assist_time, controller.assist_time + 24);
        let scanned = [controller.last_stack_scan, controller.globals_scan];
        agreed(
            self,
            &[
                ("runtime.gcMarkTermination", &[goal, live, scanned[0], scanned[1], assist, idle]),
                ("runtime.gcStart", &[live]),
                ("runtime.gcControllerCommit", &[controller.memory_limit, goal]),
            ],
        )
    }

    fn collector_stats(&self, layout: &CollectorLayout) -> Option<VirtAddr> {
        let (total, numgc) = (layout.stats.pause_total_ns, layout.stats.numgc);
        agreed(
            self,
            &[
                ("runtime.gcMarkTermination", &[numgc, numgc + 4, numgc + 8, numgc + 16, total]),
                // `last_gc_nanotime`: whether a cycle is due again after two minutes.
                ("runtime.gcTrigger.test", &[numgc + 16]),
            ],
        )
    }

    fn holders(&self) -> Result<Holders, CollectorRefusal> {
        let layout = self.scheduler_layout()?;
        let sched = self.sched(&layout).ok_or(CollectorRefusal::Global("runtime.sched"))?;
        let stopnote = layout.gcwaiting + 8;
        let allp = self.allp().ok_or(CollectorRefusal::Global("runtime.allp"))?;
        Ok(Holders { stopnote: VirtAddr(sched.0.wrapping_add(u64::from(stopnote))), allp })
    }
}
