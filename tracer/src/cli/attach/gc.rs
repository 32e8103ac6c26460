//! The collector of a running program: arms its probes, and takes note of what they tell.

use aya::maps::{MapData, MapError, StackTraceMap};
use tracer_ebpf::config::GcConfig;

use super::super::collection::{program_began, told};
use super::sites::difference;
use crate::event::gc::Stop;
use crate::model::blocking::BlockingReport;
use crate::model::gc::{GcHistory, GcInput, GcReport, Surroundings};
use crate::model::{MissingProbe, Symbols};
use crate::probe::attach::Attached;
use crate::probe::maps::AssistsMap;
use crate::probe::plan::MissingHook;
use crate::probe::{Gc, GcPlan, Probe, gc, gc_config, holder_config};
use crate::stream::{Tables, read_assists};
use crate::target::gobin::GoBinary;
use crate::target::memory::Memory as _;
use crate::target::process::Process;
use crate::units::{Nanos, RuntimeAddr, VirtAddr, boot_clock};

/// Room in the kernel: 100 bytes a sum.
const MOST_ASSISTS: u32 = 1 << 12;

/// Where to probe, and what the kernel side is to know.
pub(super) struct Plan {
    plan: GcPlan,
    config: GcConfig,
    bias: u64,
    /// `runtime.runtimeInitTime`
    program_began: Nanos,
}

impl Plan {
    /// For that program, which must run the binary.
    pub(super) fn of(process: &Process, binary: &GoBinary) -> anyhow::Result<Result<Self, MissingProbe>> {
        let mut plan = match gc(binary) {
            Ok(plan) => plan,
            Err(missing) => return Ok(Err(told(missing))),
        };
        let memory = process.memory()?;
        let bias = process.load_bias(binary, &memory)?;
        if let Some(reason) = difference(&memory, bias, &plan.sites)? {
            let function = plan.sites.first().map(|planned| planned.function.clone()).unwrap_or_default();
            return Ok(Err(told(MissingHook { hook: Probe::GcCycle, function, reason })));
        }
        let program_began = program_began(&memory, bias, &plan.globals)?;
        let mut config = gc_config(binary, &plan);
        if let Ok(holders) = &plan.globals.holders {
            match holder_config(binary, config, holders, bias) {
                Ok(known) => config = known.unwrap_or(config),
                Err(error) => plan.missing.push(MissingHook {
                    hook: Probe::WorldStopping,
                    function: "runtime.stopTheWorldWithSema".to_owned(),
                    reason: format!("the kernel's type information cannot be read: {error}"),
                }),
            }
        }
        Ok(Ok(Self { plan, config, bias, program_began }))
    }

    /// The room that it takes in the kernel, and where the collector keeps its notes.
    pub(super) fn room(&self) -> Gc {
        Gc { config: self.config, most_assists: MOST_ASSISTS }
    }
}

/// The probes, armed, and what they have told so far.
pub(super) struct Collector<'a> {
    process: &'a Process,
    binary: &'a GoBinary,
    bias: u64,
    assists: AssistsMap,
    pub(super) history: GcHistory,
    program_began: Nanos,
    /// `gcController.gcPercent`
    gc_percent: RuntimeAddr,
    missing: Vec<MissingProbe>,
    /// How long its control group had kept it from running before.
    throttled_before: Option<Nanos>,
}

/// What a report is about.
pub(super) struct GcSpan<'a> {
    pub(super) began: Nanos,
    pub(super) ended: Nanos,
    /// From how long on a cycle or a stop is looked at by itself.
    pub(super) slow_from: Nanos,
    /// The sums at its end.
    pub(super) tables: &'a Tables,
    /// Those at its beginning, unless it began with the first probe.
    pub(super) before: Option<&'a Tables>,
    /// What the program was blocked on.
    pub(super) blocking: &'a BlockingReport,
    pub(super) symbols: &'a dyn Symbols,
}

impl<'a> Collector<'a> {
    /// Arms the probes.
    pub(super) fn attach(
        attached: &mut Attached,
        assists: AssistsMap,
        plan: Plan,
        process: &'a Process,
        binary: &'a GoBinary,
    ) -> anyhow::Result<Self> {
        let Plan { plan, bias, program_began, .. } = plan;
        attached.arm_gc(binary.file(), &plan.sites, process.pid)?;
        let gc_percent = plan.globals.controller.0.wrapping_add(plan.layout.controller.gc_percent.into());
        Ok(Self {
            process,
            binary,
            bias,
            assists,
            history: GcHistory::new(plan.layout, boot_clock()),
            program_began,
            gc_percent: RuntimeAddr(gc_percent.wrapping_add(bias)),
            missing: plan.missing.into_iter().map(told).collect(),
            throttled_before: process.throttled(),
        })
    }

    /// Takes note of a stop of the world.
    pub(super) fn note_stop(&mut self, time: Nanos, stop: &mut Stop) {
        if let Some(holder) = &mut stop.holder
            && let Some(pc) = holder.stack.first_mut()
            && holder.top.0 != 0
            && self.binary.frame_size(VirtAddr(pc.0.wrapping_sub(self.bias))) == Some(0)
        {
            // It yielded where a function begins, as whoever is not interrupted does: the time was its caller's, whose
            // frame pointer is there still.
            *pc = holder.top;
        }
        self.history.note_stop(time, stop);
    }

    /// What the probes told in a span of time.
    pub(super) fn report(&self, span: &GcSpan<'_>) -> GcReport {
        let GcSpan { began, ended, slow_from, tables, before, blocking, symbols } = *span;
        let throttled_before = before.map_or(self.throttled_before, |before| before.throttled);
        GcReport::of(GcInput {
            history: &self.history,
            began,
            ended,
            slow_from,
            assists: &tables.assists,
            assists_before: before.map_or(&[], |before| &before.assists),
            stacks: tables,
            throttled: tables.throttled.zip(throttled_before).map(|(now, before)| now.since(before)),
            runtime_init: Some(self.program_began),
            gc_percent: self.gc_percent(),
            module: self.binary.build_info().and_then(|info| info.main_module()),
            missing: self.missing.clone(),
            blocking: Some(blocking),
            symbols,
        })
    }

    /// GOGC by now; none when the program has ended.
    fn gc_percent(&self) -> Option<i32> {
        let mut percent = [0; 4];
        self.process.memory().ok()?.read(self.gc_percent, &mut percent).ok()?;
        Some(i32::from_ne_bytes(percent))
    }

    /// What else is to be known when a cycle is over.
    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings { rss: self.process.resident(), throttled: self.process.throttled() }
    }

    /// The sums by now. Adds the stacks that they name to `tables`.
    pub(super) fn read(&self, tables: &mut Tables, kept: &StackTraceMap<MapData>) -> Result<(), MapError> {
        tables.assists = read_assists(&self.assists, kept, &mut tables.stacks)?;
        tables.throttled = self.process.throttled();
        Ok(())
    }
}
