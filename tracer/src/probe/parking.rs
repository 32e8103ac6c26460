//! Where to see why goroutines do not run, and what the kernel side is told for it. Pure: facts about a binary in,
//! sites out.

use tracer_ebpf::config::ParkingConfig;

use super::Probe;
use super::plan::{MissingHook, PlannedSite, find, whole};
use crate::target::gobin::{Function, GoBinary, Site, SiteRefusal};

/// What to sum up, and how much room there is for it.
#[derive(Clone, Copy, Debug)]
pub struct Parking {
    /// How to look at a goroutine.
    pub config: ParkingConfig,
    /// How many sums are kept apart.
    pub most_sums: u32,
    /// How many goroutines may be parked at a time.
    pub most_parked: u32,
}

impl Parking {
    /// Nothing is summed up, and the maps take no room.
    pub const NONE: Self = Self { config: ParkingConfig::NONE, most_sums: 1, most_parked: 1 };
}

/// The sites that show why goroutines do not run.
#[derive(Debug)]
pub struct ParkingPlan {
    /// Where to probe, those first that end a wait: so none is seen to begin and never to end.
    pub sites: Vec<PlannedSite>,
    /// What the report does without, with the reason.
    pub missing: Vec<MissingHook>,
    /// How to look at a goroutine.
    pub config: ParkingConfig,
}

/// Registers by their numbers in instruction encodings (cmd/compile/abi-internal.md says what is where).
const RAX: u8 = 0;
const R14: u8 = 14;

/// Plans the probes of `gotrace attach --waits`.
///
/// # Errors
/// When the binary offers no place to see goroutines parked, or run again: what was looked for, and why.
pub fn parking(binary: &GoBinary) -> Result<ParkingPlan, MissingHook> {
    let Some(layout) = binary.runtime_layout() else {
        let reason = format!("the layout of {}'s goroutines is not known to gotrace", binary.version());
        return Err(MissingHook { hook: Probe::Park, function: "runtime.gopark".to_owned(), reason });
    };
    let config =
        ParkingConfig { g_atomicstatus: layout.g.atomicstatus, g_waitreason: layout.g.waitreason, park_m: 0 };
    let mut plan = ParkingPlan { sites: Vec::new(), missing: Vec::new(), config };

    // Where the compiler has inlined a copy (profile-guided), not all calls come by the function. `mcall` and `gogo`
    // are assembly and never inlined.
    let execute = find(binary, Probe::Execute, "runtime.execute", holding(RAX)).or_else(|instead| {
        find(binary, Probe::Execute, "runtime.gogo", GoBinary::switch_site).map_err(|_| instead)
    })?;
    plan.sites.push(execute);
    match find(binary, Probe::MadeReady, "runtime.ready", holding(RAX)) {
        Ok(site) => plan.sites.push(site),
        Err(missing) => plan.missing.push(missing),
    }
    let park = find(binary, Probe::Park, "runtime.gopark", holding(R14)).or_else(|instead| {
        let (mcall, park_m) = calls_of_park_m(binary).ok_or(instead)?;
        plan.config.park_m = park_m;
        Ok(mcall)
    })?;
    plan.sites.push(park);
    Ok(plan)
}

/// Where a goroutine calls `mcall`, still on its own stack, and how far from there what `gopark` has it call begins.
fn calls_of_park_m(binary: &GoBinary) -> Option<(PlannedSite, u64)> {
    let mcall = find(binary, Probe::Park, "runtime.mcall", holding(RAX)).ok()?;
    let park_m = whole(binary, "runtime.park_m").ok()?;
    let distance = park_m.entry.0.wrapping_sub(mcall.site.address.0);
    Some((mcall, distance))
}

/// Where the function was called, with the register that holds what is wanted.
fn holding(register: u8) -> impl FnOnce(&GoBinary, &Function) -> Result<Site, SiteRefusal> {
    move |binary, function| binary.site(function).map(|site| Site { register: Some(register), ..site })
}
