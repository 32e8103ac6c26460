//! What the garbage collector of a program that gotrace starts does, from its first cycle on.

use std::io;

use super::exit::TargetRefused;
use super::output::Outputs;
use super::recorder::Recorder;
use crate::event::{Event, EventKind};
use crate::export::Format;
use crate::model::gc::{GcHistory, Surroundings};
use crate::model::{GcWanted, MissingProbe};
use crate::probe::attach::{AttachError, Attached};
use crate::probe::plan::{PlannedSite, StartupPlan};
use crate::probe::{Gc, GcPlan, Probe, gc, gc_config};
use crate::target::gobin::{CollectorGlobals, GoBinary};
use crate::target::memory::{Memory as _, ProcessMemory};
use crate::target::process::Process;
use crate::units::{Nanos, RuntimeAddr};

/// Where to see it.
pub(super) struct Plan {
    plan: GcPlan,
}

impl Plan {
    /// The probes of a start.
    pub(super) fn of(binary: &GoBinary) -> Result<Self, MissingProbe> {
        Ok(Self { plan: gc(binary).map_err(MissingProbe::detail)? })
    }

    /// Takes out what sees who is made to help with marking: that is told of a start until `main.main` begins, hit by
    /// hit, so it belongs to the start's own probes.
    pub(super) fn take_assists(&mut self) -> StartupPlan {
        let GcPlan { sites, missing, .. } = &mut self.plan;
        StartupPlan {
            sites: sites.extract_if(.., |planned| planned.hook == Probe::GcAssist).collect(),
            missing: missing.extract_if(.., |missing| missing.hook == Probe::GcAssist).collect(),
        }
    }

    /// Where it is probed.
    pub(super) fn sites(&self) -> &[PlannedSite] {
        &self.plan.sites
    }

    /// Where the collector keeps its notes.
    pub(super) fn room(&self, binary: &GoBinary) -> Gc {
        Gc { config: gc_config(binary, &self.plan), ..Gc::NONE }
    }

    /// Arms the probes for the process, which does not run yet.
    pub(super) fn arm(
        self,
        attached: &mut Attached,
        binary: &GoBinary,
        pid: u32,
    ) -> Result<Collection, AttachError> {
        let GcPlan { sites, missing, layout, globals, .. } = self.plan;
        attached.arm_gc(binary.file(), &sites, pid)?;
        Ok(Collection {
            pid,
            globals,
            collected: Collected {
                // It has seen everything.
                history: GcHistory::new(layout, Nanos(0)),
                known: GcWanted {
                    program_began: None,
                    missing: missing.into_iter().map(MissingProbe::detail).collect(),
                },
            },
        })
    }
}

/// What the collector has done so far.
pub(super) struct Collection {
    pid: u32,
    globals: CollectorGlobals,
    pub(super) collected: Collected,
}

/// What the collector has done.
pub(super) struct Collected {
    pub(super) history: GcHistory,
    pub(super) known: GcWanted,
}

impl Collection {
    /// Takes note of the collector's among these events, which have just come.
    pub(super) fn note(&mut self, events: &[Event], binary: &GoBinary, recorder: &mut Recorder) {
        let has_cycle = events.iter().any(|event| matches!(event.kind, EventKind::GcCycle(_)));
        let surroundings = if has_cycle { self.surroundings(binary) } else { Surroundings::default() };
        self.collected.history.note(events, surroundings);
        if has_cycle {
            recorder.surroundings(surroundings);
        }
    }

    /// What else is to be known when a cycle is over; little of a process that is gone already.
    fn surroundings(&mut self, binary: &GoBinary) -> Surroundings {
        let Ok(process) = Process::of_pid(self.pid) else { return Surroundings::default() };
        self.read_begin(&process, binary);
        Surroundings { rss: process.resident(), throttled: process.throttled() }
    }

    /// Reads when the runtime says that the program began.
    fn read_begin(&mut self, process: &Process, binary: &GoBinary) {
        let known = &mut self.collected.known;
        if known.program_began.is_none() {
            known.program_began = process.memory().ok().and_then(|memory| {
                let bias = process.load_bias(binary, &memory).ok()?;
                program_began(&memory, bias, &self.globals).ok()
            });
        }
    }
}

/// `runtime.runtimeInitTime`: when the runtime says that the program began, of its own clock.
pub(super) fn program_began(
    memory: &ProcessMemory,
    bias: u64,
    globals: &CollectorGlobals,
) -> io::Result<Nanos> {
    let mut began = [0; 8];
    memory.read(RuntimeAddr(globals.runtime_init_time.0.wrapping_add(bias)), &mut began)?;
    Ok(Nanos(u64::from_ne_bytes(began)))
}

/// What only the collector's part of a report fills.
pub(super) fn gctrace(outputs: &Outputs) -> Option<&'static str> {
    outputs.has(Format::Gctrace).then_some("gctrace")
}

/// Refuses what was asked for where nothing would be in it: it would look like that of a program that never collected.
pub(super) fn ensure_collector<T>(
    what: Option<&str>,
    plan: Option<&Result<T, MissingProbe>>,
) -> anyhow::Result<()> {
    match (what, plan) {
        (Some(what), None) => {
            anyhow::bail!("--no-gc leaves nothing to write as {what}: leave out one of them")
        }
        (Some(what), Some(Err(MissingProbe { function, reason, .. }))) => {
            Err(TargetRefused(format!("{what} is not to be had here: {function}: {reason}")).into())
        }
        _ => Ok(()),
    }
}
