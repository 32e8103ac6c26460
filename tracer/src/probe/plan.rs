//! Which functions to probe for which question, and where in them. Pure: facts about a binary in, sites out.

use super::Probe;
use crate::target::gobin::{Function, GoBinary, InitTask, Machine, Site, SiteRefusal, Support};

/// How much a start's probes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Phases and packages' inits.
    Lean,
    /// Also the steps of the bootstrap, init functions, and the goroutines that are started.
    Full,
    /// Also the init functions of the standard library.
    Everything,
}

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
#[derive(Clone, Debug)]
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
pub fn startup(binary: &GoBinary, detail: Detail) -> StartupPlan {
    let mut plan = StartupPlan { sites: Vec::new(), missing: Vec::new() };
    plan.add(Probe::GoEntry, binary, go_entry(binary), GoBinary::site);
    plan.add(Probe::SchedInit, binary, "runtime.schedinit", with(None));
    plan.add(Probe::SchedInitDone, binary, "runtime.rt0_go", after_schedinit);
    plan.add(Probe::RuntimeMain, binary, "runtime.main", with(Some(R14)));
    plan.add_called(Probe::GcEnable, binary, "runtime.main", "runtime.gcenable");
    plan.add_inits(binary);
    plan.add(Probe::MainMain, binary, "main.main", with(None));
    if detail != Detail::Lean {
        plan.add_steps_of_schedinit(binary);
        plan.add(Probe::Sysmon, binary, "runtime.sysmon", with(None));
        plan.add_init_functions(binary, detail);
        plan.add_goroutines(binary);
    }
    plan
}

/// What `runtime.schedinit` does that takes time.
const STEPS: [(Probe, Probe, &str); 3] = [
    (Probe::MallocInit, Probe::MallocInitDone, "runtime.mallocinit"),
    (Probe::GcInit, Probe::GcInitDone, "runtime.gcinit"),
    (Probe::ProcResize, Probe::ProcResizeDone, "runtime.procresize"),
];

/// Registers by their numbers in instruction encodings (cmd/compile/abi-internal.md says what is where).
const RAX: u8 = 0;
const RCX: u8 = 1;
const R14: u8 = 14;

/// A function's beginning, while that register holds what it does there.
fn with(register: Option<u8>) -> impl FnOnce(&GoBinary, &Function) -> Result<Site, SiteRefusal> {
    move |binary, function| binary.emulated_site(function, register)
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
    /// Adds what another plan has.
    pub fn extend(&mut self, more: Self) {
        self.sites.extend(more.sites);
        self.missing.extend(more.missing);
    }

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

    /// A function that has one caller, which is probed as well: at the call, if that is to be had, because in the function
    /// itself the site would be on another page, which the program's execve would have to copy for it.
    fn add_called(&mut self, hook: Probe, binary: &GoBinary, caller: &str, callee: &str) {
        let found = binary.functions().named(caller);
        match found.map(|found| binary.site_before_call(&found, callee)) {
            Some(Ok(site)) => self.sites.push(PlannedSite { hook, function: caller.to_owned(), site }),
            _ => self.add(hook, binary, callee, with(Some(RAX))),
        }
    }

    fn add_steps_of_schedinit(&mut self, binary: &GoBinary) {
        for (begin, done, function) in STEPS {
            self.add_called(begin, binary, "runtime.schedinit", function);
            self.keep_emulated();
            if self.sites.iter().any(|planned| planned.hook == begin) {
                self.add(done, binary, "runtime.schedinit", |binary, caller| {
                    binary.site_after_call(caller, function)
                });
            }
        }
        self.keep_emulated();
    }

    /// A package's first function begins with its task. One whose first instruction the kernel would have to
    /// single-step is left out: it has no frame, so it is short. So are the standard library's, unless everything is
    /// asked for: each is on a page of its own, which the program's execve has to copy for the site (2.9 µs measured on a virtual machine; a net/http
    /// program has 27), and whoever looks for a slow init can seldom change them.
    fn add_init_functions(&mut self, binary: &GoBinary, detail: Detail) {
        let is_standard =
            |task: &InitTask| binary.build_info().is_some_and(|info| info.is_standard(&task.package));
        // Where the tasks are not to be had, the hook on them is missing already.
        let tasks = binary.init_tasks().unwrap_or_default();
        let tasks = tasks.iter().filter(|task| detail == Detail::Everything || !is_standard(task));
        for address in tasks.flat_map(|task| task.functions.iter().skip(1)) {
            let Some(function) = binary.functions().containing(*address) else { continue };
            if let Ok(site) = binary.site(&function)
                && site.emulated
            {
                self.sites.push(PlannedSite { hook: Probe::InitFunction, function: function.name, site });
            }
        }
    }

    fn add_goroutines(&mut self, binary: &GoBinary) {
        self.add(Probe::GoStart, binary, "runtime.newproc1", with(Some(RCX)));
        self.add(Probe::GoExit, binary, "runtime.goexit1", with(Some(R14)));
        self.keep_emulated();
    }

    /// Details are not worth the cost of single-stepping.
    fn keep_emulated(&mut self) {
        let (kept, stepped) = std::mem::take(&mut self.sites)
            .into_iter()
            .partition(|planned| planned.site.emulated || !planned.hook.is_detail());
        self.sites = kept;
        let stepped: Vec<PlannedSite> = stepped;
        self.missing.extend(stepped.into_iter().map(|planned| MissingHook {
            hook: planned.hook,
            reason: dear(&planned.site),
            function: planned.function,
        }));
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

/// The site that is chosen in a function of a running program: not one that the kernel would have to single-step, and
/// in no function that some calls do not come by.
pub(super) fn find(
    binary: &GoBinary,
    hook: Probe,
    function: &str,
    choose: impl FnOnce(&GoBinary, &Function) -> Result<Site, SiteRefusal>,
) -> Result<PlannedSite, MissingHook> {
    let missing = |reason| MissingHook { hook, function: function.to_owned(), reason };
    let found = whole(binary, function).map_err(missing)?;
    let site = choose(binary, &found).map_err(|refusal| missing(refusal.to_string()))?;
    if !site.emulated {
        return Err(missing(dear(&site)));
    }
    Ok(PlannedSite { hook, function: function.to_owned(), site })
}

/// The function, which all calls come by: where the compiler has inlined a copy (profile-guided), they do not.
pub(super) fn whole(binary: &GoBinary, function: &str) -> Result<Function, String> {
    let found = binary.functions().named(function).ok_or_else(|| absence(binary, function))?;
    match binary.inlined_into(function).first() {
        Some(host) => Err(format!("some of its calls are inlined, for example into {host}")),
        None => Ok(found),
    }
}

/// Why a site is not worth its cost.
fn dear(site: &Site) -> String {
    format!("the kernel would have to single-step its {}", site.instruction)
}

/// Why there is no function to look into.
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
