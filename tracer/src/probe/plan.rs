//! Which functions to probe for which question, and where in them. Pure: facts about a binary in, sites out.

use super::Probe;
use crate::target::gobin::{Function, GoBinary, Machine, Site, SiteRefusal, Support};

/// The sites that show a program's startup, and what cannot be had.
#[derive(Debug)]
pub struct StartupPlan {
    /// Where to probe, in the order in which a start reaches them.
    pub sites: Vec<PlannedSite>,
    /// The hooks for which there is no site, each with the reason.
    pub missing: Vec<MissingHook>,
}

/// One site and the hook that it serves.
#[derive(Debug)]
pub struct PlannedSite {
    /// What a hit means.
    pub hook: Probe,
    /// The function that the site lies in.
    pub function: String,
    /// The instruction.
    pub site: Site,
}

/// A hook that this binary does not offer.
#[derive(Debug)]
pub struct MissingHook {
    /// What it would have told.
    pub hook: Probe,
    /// The function that was looked for.
    pub function: String,
    /// Why there is no site, for people.
    pub reason: String,
}

/// Plans the probes of `gotrace run`: the steps from the first Go instruction to `main.main`.
///
/// It never fails: a binary without any usable site gives a plan without sites, and every reason.
#[must_use]
pub fn startup(binary: &GoBinary) -> StartupPlan {
    let mut plan = StartupPlan { sites: Vec::new(), missing: Vec::new() };
    plan.add(Probe::GoEntry, binary, go_entry(binary), GoBinary::site);
    plan.add(Probe::SchedInit, binary, "runtime.schedinit", GoBinary::site);
    plan.add(Probe::SchedInitDone, binary, "runtime.rt0_go", after_schedinit);
    plan.add(Probe::RuntimeMain, binary, "runtime.main", GoBinary::site);
    plan.add(Probe::GcEnable, binary, "runtime.gcenable", GoBinary::site);
    plan.add_inits(binary);
    plan.add(Probe::MainMain, binary, "main.main", GoBinary::site);
    plan
}

/// The function in which Go's own code begins: the ELF entry point, or Go's `main` when C starts the program.
fn go_entry(binary: &GoBinary) -> &'static str {
    let own = match binary.machine() {
        Machine::X86_64 => "_rt0_amd64_linux",
        Machine::Aarch64 => "_rt0_arm64_linux",
    };
    let entry = binary.entry();
    match binary.functions().named(own) {
        Some(function) if function.entry <= entry && entry < function.end => own,
        _ => "main",
    }
}

/// `runtime.rt0_go` calls `schedinit`, directly or through its ABI0 wrapper; the next site in the caller is
/// where it has returned. Cheaper than a probe on the RET, which the kernel would have to single-step.
fn after_schedinit(binary: &GoBinary, caller: &Function) -> Result<Site, SiteRefusal> {
    binary.site_after_call(caller, "runtime.schedinit")
}

impl StartupPlan {
    fn add(
        &mut self,
        hook: Probe,
        binary: &GoBinary,
        function: &str,
        choose: impl FnOnce(&GoBinary, &Function) -> Result<Site, SiteRefusal>,
    ) {
        let outcome = match binary.functions().named(function) {
            None => Err(absence(binary, function)),
            Some(found) => choose(binary, &found).map_err(|refusal| refusal.to_string()),
        };
        match outcome {
            Ok(site) => self.sites.push(PlannedSite { hook, function: function.to_owned(), site }),
            Err(reason) => {
                self.missing.push(MissingHook { hook, function: function.to_owned(), reason });
            }
        }
    }

    /// An init task is named by its address alone, so its layout must be known for a hit to mean anything.
    fn add_inits(&mut self, binary: &GoBinary) {
        let recursive = binary.version().minor() <= 20;
        let function = if recursive { "runtime.doInit" } else { "runtime.doInit1" };
        if let Support::Full = binary.support() {
            let choose = if recursive { GoBinary::init_ready_site } else { GoBinary::site };
            self.add(Probe::Init, binary, function, choose);
        } else {
            let reason = format!("the layout of {}'s init tasks is not known to gotrace", binary.version());
            self.missing.push(MissingHook { hook: Probe::Init, function: function.to_owned(), reason });
        }
    }
}

fn absence(binary: &GoBinary, function: &str) -> String {
    let namesakes = binary.functions().count_named(function);
    if namesakes > 1 {
        return format!("the binary has {namesakes} functions of that name, which cannot be told apart");
    }
    match binary.inlined_into(function).first() {
        Some(host) => format!("inlined, for example into {host}"),
        None => "the binary has no such function".to_owned(),
    }
}
