//! The collector of a running program: arms its probes, and reads what is known besides their events.

use aya::maps::{MapData, MapError, StackTraceMap};
use tracer_ebpf::config::GcConfig;

use super::super::collection::program_began;
use super::sites::difference;
use crate::model::gc::GcHistory;
use crate::model::{GcLook, MissingProbe};
use crate::probe::attach::Attached;
use crate::probe::maps::AssistsMap;
use crate::probe::plan::MissingHook;
use crate::probe::{Gc, GcPlan, Probe, gc, gc_config, holder_config};
use crate::stream::{Tables, read_assists};
use crate::target::gobin::GoBinary;
use crate::target::memory::Memory as _;
use crate::target::process::Process;
use crate::units::{Nanos, RuntimeAddr, boot_clock};

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
            Err(missing) => return Ok(Err(MissingProbe::detail(missing))),
        };
        let memory = process.memory()?;
        let bias = process.load_bias(binary, &memory)?;
        if let Some(reason) = difference(process, &memory, bias, &plan.sites)? {
            let function = plan.sites.first().map(|planned| planned.function.clone()).unwrap_or_default();
            return Ok(Err(MissingProbe::detail(MissingHook { hook: Probe::GcCycle, function, reason })));
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

/// The probes, armed, and what is known besides their events.
pub(super) struct Collector<'a> {
    process: &'a Process,
    assists: AssistsMap,
    program_began: Nanos,
    /// `gcController.gcPercent`
    gc_percent: RuntimeAddr,
    missing: Vec<MissingProbe>,
    /// How long its control group had kept it from running before.
    throttled_before: Option<Nanos>,
}

impl<'a> Collector<'a> {
    /// Arms the probes.
    pub(super) fn attach(
        attached: &mut Attached,
        assists: AssistsMap,
        plan: Plan,
        process: &'a Process,
        binary: &GoBinary,
    ) -> anyhow::Result<(Self, GcHistory)> {
        let Plan { plan, bias, program_began, .. } = plan;
        attached.arm_gc(binary.file(), &plan.sites, process.pid)?;
        let gc_percent = plan.globals.controller.0.wrapping_add(plan.layout.controller.gc_percent.into());
        let history = GcHistory::new(plan.layout, boot_clock());
        let collector = Self {
            process,
            assists,
            program_began,
            gc_percent: RuntimeAddr(gc_percent.wrapping_add(bias)),
            missing: plan.missing.into_iter().map(MissingProbe::detail).collect(),
            throttled_before: process.throttled(),
        };
        Ok((collector, history))
    }

    /// What is known besides the cycles and stops.
    pub(super) fn look(&self, slow_from: Nanos) -> GcLook {
        GcLook {
            slow_from,
            runtime_init: self.program_began,
            gc_percent: self.gc_percent(),
            throttled_before: self.throttled_before,
            missing: self.missing.clone(),
        }
    }

    /// GOGC by now; none when the program has ended.
    fn gc_percent(&self) -> Option<i32> {
        let mut percent = [0; 4];
        self.process.memory().ok()?.read(self.gc_percent, &mut percent).ok()?;
        Some(i32::from_ne_bytes(percent))
    }

    /// The sums by now. Adds the stacks that they name to `tables`.
    pub(super) fn read(&self, tables: &mut Tables, kept: &StackTraceMap<MapData>) -> Result<(), MapError> {
        tables.assists = read_assists(&self.assists, kept, &mut tables.stacks)?;
        tables.throttled = self.process.throttled();
        Ok(())
    }
}
