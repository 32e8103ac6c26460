//! Where to see the garbage collector's cycles, and that the world is stopped. Pure: facts about a binary in, sites
//! out.

use super::Probe;
use super::plan::{MissingHook, PlannedSite, find, whole};
use crate::target::gobin::{
    CallSite, CollectorGlobals, CollectorLayout, Function, GoBinary, Site, SiteRefusal,
};
use crate::units::VirtAddr;

/// The sites that show what the collector does.
#[derive(Debug)]
pub struct GcPlan {
    /// Where to probe, those first that end a stop: so none is seen to begin and never to end.
    pub sites: Vec<PlannedSite>,
    /// What the report does without, with the reason.
    pub missing: Vec<MissingHook>,
    /// What the collector's variables hold where.
    pub layout: CollectorLayout,
    /// Where they are.
    pub globals: CollectorGlobals,
    /// The reasons to stop the world, a bit each, for which a hit of [`Probe::WorldStarted`] follows that of
    /// [`Probe::WorldStarting`].
    pub told_later: u32,
}

/// Registers by their numbers in instruction encodings (cmd/compile/abi-internal.md says what is where).
const RBX: u8 = 3;
const RDI: u8 = 7;

/// The bits of `stwGCMarkTerm` and `stwGCSweepTerm`: `stwReason.isGC` (runtime/proc.go).
const STOPS_OF_GC: u32 = 1 << 1 | 1 << 2;

/// Called once a cycle, by `gcMarkTermination` when all is noted and the world goes on; by its address, so no copy of
/// it is inlined. (`prepareFreeWorkbufs` before it is called by `gcSweep` too, with `GODEBUG=gcstoptheworld=2`.)
const CYCLE: &str = "runtime.freeStackSpans";
const ASSIST: &str = "runtime.gcAssistAlloc1";
const STOP: &str = "runtime.stopTheWorldWithSema";
const START: &str = "runtime.startTheWorldWithSema";
const RECORD: &str = "runtime.(*timeHistogram).record";

/// Plans the probes that show the collector's cycles and the stops of the world.
///
/// # Errors
/// When the binary offers no place to see cycles, or does not tell where the collector keeps what it notes of them:
/// what was looked for, and why.
pub fn gc(binary: &GoBinary) -> Result<GcPlan, MissingHook> {
    let missing = |reason: String| MissingHook { hook: Probe::GcCycle, function: CYCLE.to_owned(), reason };
    let (layout, globals) = binary.collector().map_err(|refusal| missing(refusal.to_string()))?;
    let cycle = find(binary, Probe::GcCycle, CYCLE, GoBinary::site)?;
    let mut plan = GcPlan { sites: Vec::new(), missing: Vec::new(), layout, globals, told_later: 0 };
    if let Err(missing) = plan.add_stops(binary) {
        plan.sites.clear();
        plan.missing.push(missing);
    }
    plan.sites.push(cycle);
    let controller = plan.globals.controller.0;
    let assist_time = VirtAddr(controller.wrapping_add(plan.layout.controller.assist_time.into()));
    let assisted = |binary: &GoBinary, function: &Function| binary.assisted_site(function, assist_time);
    match find(binary, Probe::GcAssist, ASSIST, assisted) {
        Ok(site) => plan.sites.push(site),
        Err(missing) => plan.missing.push(missing),
    }
    if let Err(refusal) = &plan.globals.holders {
        let reason = format!("who keeps the world from stopping cannot be seen: {refusal}");
        let function = STOP.to_owned();
        plan.missing.push(MissingHook { hook: Probe::WorldStopping, function, reason });
    }
    Ok(plan)
}

impl GcPlan {
    /// What is where when the world is stopped and started has changed with nearly every version.
    fn add_stops(&mut self, binary: &GoBinary) -> Result<(), MissingHook> {
        match binary.version().minor() {
            21 => self.add_stops_by_clock(binary),
            // How long it took to stop is told where it is recorded.
            22 => {
                self.add_total(binary);
                self.sites.push(find(binary, Probe::WorldStarting, START, GoBinary::site)?);
                let recorded = calls(binary, Probe::WorldStopped, STOP, RECORD)?;
                let planned = |call: CallSite| planned(Probe::WorldStopped, STOP, call.site, Some(RBX));
                self.sites.extend(recorded.into_iter().map(planned));
                Ok(())
            }
            // When it had stopped is handed over (`worldStop.finishedStopping`).
            _ => {
                self.add_total(binary);
                let mut starting = find(binary, Probe::WorldStarting, START, GoBinary::site)?;
                starting.site.register = Some(RDI);
                self.sites.push(starting);
                Ok(())
            }
        }
    }

    /// Where it is recorded how long the world had been stopped. Those of the collector are known from its cycles.
    fn add_total(&mut self, binary: &GoBinary) {
        let recorded = calls(binary, Probe::WorldStarted, START, RECORD);
        match recorded.map(<[CallSite; 2]>::try_from) {
            // `sched.stwTotalTimeOther` is behind `sched.stwTotalTimeGC`.
            Ok(Ok([one, other])) if one.receiver.is_some() && other.receiver.is_some() => {
                let others = if one.receiver > other.receiver { one } else { other };
                self.sites.push(planned(Probe::WorldStarted, START, others.site, Some(RBX)));
                self.told_later = !STOPS_OF_GC;
            }
            // All of them, each of which some stop comes by.
            Ok(recorded) => {
                let recorded = recorded.map_or_else(|some| some, Vec::from);
                let planned = |call: CallSite| planned(Probe::WorldStarted, START, call.site, Some(RBX));
                self.sites.extend(recorded.into_iter().map(planned));
                self.told_later = !0;
            }
            Err(missing) => self.missing.push(missing),
        }
    }

    /// Go 1.21 keeps nothing of it.
    fn add_stops_by_clock(&mut self, binary: &GoBinary) -> Result<(), MissingHook> {
        let stopped = |binary: &GoBinary, function: &Function| {
            let holders = self.globals.holders.as_ref();
            // `stopwait`, of 4 bytes, is before it.
            let stopwait = holders.ok().and_then(|holders| holders.stopnote.0.checked_sub(4)).map(VirtAddr);
            let stopwait = stopwait.ok_or(SiteRefusal::Pattern("sched.stopwait that is known"))?;
            binary.world_stopped_site(function, stopwait)
        };
        let stopped = find(binary, Probe::WorldStopped, STOP, stopped)?;
        let woken = calls(binary, Probe::WorldStarted, START, "runtime.wakep")?;
        self.sites.extend(woken.into_iter().map(|call| planned(Probe::WorldStarted, START, call.site, None)));
        self.sites.push(stopped);
        self.sites.push(find(binary, Probe::WorldStopping, STOP, GoBinary::site)?);
        Ok(())
    }
}

fn planned(hook: Probe, function: &str, site: Site, register: Option<u8>) -> PlannedSite {
    PlannedSite { hook, function: function.to_owned(), site: Site { register, ..site } }
}

fn calls(binary: &GoBinary, hook: Probe, function: &str, callee: &str) -> Result<Vec<CallSite>, MissingHook> {
    let missing = |reason| MissingHook { hook, function: function.to_owned(), reason };
    let found = whole(binary, function).map_err(missing)?;
    binary.site_of_calls(&found, callee).map_err(|refusal| missing(refusal.to_string()))
}
