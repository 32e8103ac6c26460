//! Everything that the collector's cycles and stops tell, ready for any format.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::blocking::BlockingReport;
use super::super::blocking::stacks::Stacks;
use super::super::findings::Finding;
use super::super::report::MissingProbe;
use super::super::startup::StartupTimeline;
use super::super::waits::Symbols;
use super::assist::{AssistSite, by_site, sites};
use super::charge::Charged;
use super::cycle::GcCycle;
use super::findings::findings;
use super::heap::HeapCourse;
use super::history::GcHistory;
use super::incident::{Incident, incidents};
use super::stop::{StopReason, WorldStop, tell_rest};
use super::totals::Totals;
use crate::event::gc::Assist;
use crate::stream::Tables;
use crate::target::gobin::Frame;
use crate::units::{Nanos, RuntimeAddr};

/// What a report is made from.
pub struct GcInput<'a> {
    /// The cycles and stops.
    pub history: &'a GcHistory,
    /// When the span began, on the boot clock.
    pub began: Nanos,
    /// When it ended.
    pub ended: Nanos,
    /// From how long on a stop or a cycle is looked at by itself.
    pub slow_from: Nanos,
    /// The sums of assists at the end of the span.
    pub assists: &'a [Assist],
    /// Those at its beginning; empty when it began with the first probe.
    pub assists_before: &'a [Assist],
    /// What holds their stacks' addresses.
    pub stacks: &'a Tables,
    /// How long its control group kept the program's threads from running in the span; none when that is not known.
    pub throttled: Option<Nanos>,
    /// `runtime.runtimeInitTime`, of the runtime's clock, from which gctrace counts; none when it is not known.
    pub runtime_init: Option<Nanos>,
    /// GOGC at the end of the span, -1 when it is off; none when that was not looked at.
    pub gc_percent: Option<i32>,
    /// The main module's path.
    pub module: Option<&'a str>,
    /// What could not be seen, each with the reason.
    pub missing: Vec<MissingProbe>,
    /// What the program was blocked on in the span, where that was followed.
    pub blocking: Option<&'a BlockingReport>,
    /// What addresses mean.
    pub symbols: &'a dyn Symbols,
}

/// What the garbage collector did in a span of time, and when the world was stopped.
#[derive(Clone, Debug)]
pub struct GcReport {
    /// When the span began, on the boot clock.
    pub began: Nanos,
    /// When it ended.
    pub ended: Nanos,
    /// From how long on a stop or a cycle is looked at by itself.
    pub slow_from: Nanos,
    /// `runtime.runtimeInitTime`, of the runtime's clock; none when it is not known.
    pub runtime_init: Option<Nanos>,
    /// GOGC at the end of the span, -1 when it is off; none when that was not looked at.
    pub gc_percent: Option<i32>,
    /// Why nothing of all this is told: figures that contradict one another.
    pub refused: Option<String>,
    /// The cycles, in order.
    pub cycles: Vec<ToldCycle>,
    /// The stops, in order.
    pub stops: Vec<WorldStop>,
    /// Sums of them, and of what there was no room for.
    pub totals: Totals,
    /// The heap over time; none without a cycle.
    pub heap: Option<HeapCourse>,
    /// Stops and cycles that took long, and why.
    pub incidents: Vec<Incident>,
    /// Who was made to help with marking, the most first.
    pub assists: Vec<AssistSite>,
    /// How long its control group kept the program's threads from running; none when that is not known.
    pub throttled: Option<Nanos>,
    /// What stands out.
    pub findings: Vec<Finding>,
    /// What could not be seen, each with the reason.
    pub missing: Vec<MissingProbe>,
}

/// A cycle with what the other records tell of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldCycle {
    /// Its figures.
    pub cycle: GcCycle,
    /// Why it began; none when that was not seen.
    pub trigger: Option<Trigger>,
    /// Whether it looked for goroutines that nobody can wake (Go 1.26 and later), as far as that was seen.
    pub leaks: bool,
    /// In which phase and init of the program's start it ran; none when it is not a start that is told.
    pub charged: Option<Charged>,
}

/// Why a cycle began (runtime/mgc.go, `gcTriggerKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The heap had grown.
    Heap,
    /// There was none for two minutes.
    Periodic,
    /// The program asked for it.
    Manual,
}

impl Trigger {
    /// The name in the NDJSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::Periodic => "periodic",
            Self::Manual => "manual",
        }
    }

    /// By the stack of who asked for the stop that begins the cycle.
    fn of(cycle: &GcCycle, asked: Option<&[Arc<Frame>]>) -> Option<Self> {
        let periodic = |frame: &Arc<Frame>| *frame.function == *"runtime.forcegchelper";
        match asked {
            _ if cycle.forced => Some(Self::Manual),
            Some(stack) if stack.iter().any(periodic) => Some(Self::Periodic),
            Some(stack) if !stack.is_empty() => Some(Self::Heap),
            _ => None,
        }
    }
}

/// Who asks for cycles that look for leaked goroutines (runtime/mgc.go, `goroutineLeakGC`).
const LEAKS: &str = "runtime/pprof.runtime_goroutineLeakGC";

impl GcReport {
    /// What the input tells.
    #[must_use]
    pub fn of(input: GcInput<'_>) -> Self {
        let mut report = Self {
            began: input.began,
            ended: input.ended,
            slow_from: input.slow_from,
            // Zero until runtime.main begins.
            runtime_init: input.runtime_init.filter(|time| time.0 > 0),
            gc_percent: input.gc_percent,
            refused: input.history.refused().map(ToString::to_string),
            cycles: Vec::new(),
            stops: Vec::new(),
            totals: Totals::default(),
            heap: None,
            incidents: Vec::new(),
            assists: Vec::new(),
            throttled: input.throttled,
            findings: Vec::new(),
            missing: input.missing,
        };
        if let Some(reason) = &report.refused {
            report.missing.push(MissingProbe {
                probe: "gc".into(),
                function: "runtime.work".to_owned(),
                reason: format!("the runtime's figures contradict one another: {reason}"),
                is_detail: true,
            });
            return report;
        }
        let in_span = |time: Nanos| input.began < time && time <= input.ended;
        let mut stacks = Stacks::new(input.stacks, input.symbols);
        let history = input.history;
        let stops = history.stops.iter().filter(|(noted, _)| in_span(*noted));
        report.stops = stops
            .map(|(noted, stop)| {
                WorldStop::of(*noted, stop, history.cycle_of(stop), &mut stacks, input.module)
            })
            .collect();
        let cycles: Vec<GcCycle> =
            history.cycles.iter().filter(|cycle| in_span(cycle.noted)).cloned().collect();
        tell_rest(&mut report.stops, &cycles);
        report.totals = totals(history, &cycles, &report.stops, input.began);
        report.heap = HeapCourse::of(&cycles);
        // A cycle's first stop may be of the span before.
        let sweeps =
            history.stops.iter().filter(|(_, stop)| StopReason(stop.reason) == StopReason::SWEEP_TERM);
        let asked: HashMap<u32, &[RuntimeAddr]> = sweeps
            .filter_map(|(_, stop)| Some((history.cycle_of(stop)?.number, stop.stack.as_slice())))
            .collect();
        report.cycles = cycles
            .into_iter()
            .map(|cycle| {
                let asked = asked.get(&cycle.number).map(|asked| stacks.frames(asked));
                let trigger = Trigger::of(&cycle, asked.as_deref());
                // Then it goes on marking, and stops the world once more.
                let leaks = asked.is_some_and(|frames| frames.iter().any(|frame| *frame.function == *LEAKS))
                    && history.stops_of(cycle.number, StopReason::MARK_TERM) > 1;
                ToldCycle { cycle, trigger, leaks, charged: None }
            })
            .collect();
        report.assists = sites(input.assists, input.assists_before, &mut stacks, input.module);
        report.incidents = incidents(&report, input.blocking);
        report.findings = findings(&report);
        report
    }

    /// Says of each cycle in which phase and init of the start it ran.
    #[must_use]
    pub fn charged(mut self, timeline: &StartupTimeline) -> Self {
        for told in &mut self.cycles {
            told.charged = Charged::of(&told.cycle, timeline);
        }
        self
    }

    /// How long the span was.
    #[must_use]
    pub fn span(&self) -> Nanos {
        self.ended.since(self.began)
    }

    /// The share of the CPU time that the program could have had which the collector took from it, in millionths; none
    /// without a cycle.
    #[must_use]
    pub fn cpu_share(&self) -> Option<u64> {
        let procs = self.cycles.last()?.cycle.procs;
        let available = u128::from(self.span().0) * u128::from(procs);
        u64::try_from((u128::from(self.totals.cpu.0) * 1_000_000).checked_div(available)?).ok()
    }

    /// The longest time that the world was stopped or being stopped, whatever for.
    #[must_use]
    pub fn longest_stop(&self) -> Nanos {
        let stops = self.totals.stops.values().map(|sums| sums.longest).max();
        stops.unwrap_or_default().max(self.totals.longest_pause)
    }

    /// Who was made to help with marking, by line of code: several stacks lead to one.
    #[must_use]
    pub fn assist_sites(&self) -> Vec<AssistSite> {
        by_site(&self.assists)
    }

    /// How many stops took as long as is looked at by itself.
    #[must_use]
    pub fn slow_stops(&self) -> usize {
        let is_slow = |stop: &&WorldStop| stop.total.is_some_and(|total| total >= self.slow_from);
        self.stops.iter().filter(is_slow).count()
    }
}

fn totals(history: &GcHistory, cycles: &[GcCycle], stops: &[WorldStop], began: Nanos) -> Totals {
    // What was left out is in the span when the first of it is: it is older than everything else.
    let whole = history.left_out_from.is_some_and(|first| first > began);
    let mut totals = if whole { history.left_out.clone() } else { Totals::default() };
    cycles.iter().for_each(|cycle| totals.add_cycle(cycle));
    stops.iter().for_each(|stop| totals.add_stop(stop.reason, stop.total));
    totals
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
