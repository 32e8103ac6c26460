//! The programs onto their sites, and off.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use aya::programs::perf_event::{PerfEvent, PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope};
use aya::programs::{Program, ProgramError, RawTracePoint, UProbe};
use aya::util::online_cpus;
use tracer_ebpf::wire::startup::Cookie;

use super::armed::Armed;
pub use super::attach_error::AttachError;
use super::held::Held;
use super::load::{LoadError, Loaded};
use super::plan::PlannedSite;
use super::undisturbed::Undisturbed;
use super::uprobe_multi::{self, Link, Point, Supported};

/// The raw tracepoints, by the name of their program and their own.
type Tracepoints = &'static [(&'static str, &'static str)];

/// Those of a run.
const RUN: Tracepoints = &[
    ("sched_switch", "sched_switch"),
    ("sched_wakeup", "sched_wakeup"),
    ("sys_exit", "sys_exit"),
    ("process_exec", "sched_process_exec"),
    ("process_exit", "sched_process_exit"),
];

/// Those of a run that `main.main` ends.
const BEFORE_MAIN: [&str; 2] = ["sched_switch", "sched_wakeup"];

/// Those that sum up a running program's system calls. First what ends a call, then what begins it: so none is seen
/// to begin and never to end.
const BLOCKING: Tracepoints = &[
    ("blocking_thread_exit", "sched_process_exit"),
    ("blocking_exec", "sched_process_exec"),
    ("blocking_exit", "sys_exit"),
    ("blocking_enter", "sys_enter"),
];

/// The program that serves every uprobe site of a run.
pub(super) const STARTUP: &str = "startup";

/// How the sites are armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One `uprobe_multi` link for all sites.
    UprobeMulti,
    /// One perf event a site, for every process that runs the binary: kernels before 6.6. Slow to detach.
    PerfEvents,
    /// There are no sites, only the kernel's own tracepoints.
    Tracepoints,
}

/// The probes, armed. Dropping it disarms them.
#[derive(Debug)]
pub struct Attached {
    pub(super) loaded: Loaded,
    link: Option<Link>,
    /// The pages of its sites.
    held: Option<Held>,
    /// What sees goroutines parked and run, when it is loaded.
    pub(super) parking: Option<Armed>,
    /// What sees the collector's cycles, when it is loaded.
    pub(super) gc: Option<Armed>,
    /// How the sites are armed.
    pub method: Method,
}

impl Loaded {
    /// Arms the tracepoints and every site of `binary`, for the process `pid`, which the programs know by their
    /// configuration too.
    ///
    /// # Errors
    /// When any probe cannot be put in place; then none is.
    pub fn attach(mut self, binary: &File, sites: &[PlannedSite], pid: u32) -> Result<Attached, AttachError> {
        let held = Held::verified(binary, sites)?;
        for (program, tracepoint) in RUN {
            attach_tracepoint(&mut self, program, tracepoint)?;
        }
        let path = own_path(binary);
        let points = points(sites, cookie);
        if let Some(program) = self.multi_program(STARTUP)? {
            let pid = if program.supported() == Supported::Yes { pid } else { 0 };
            let path = CString::new(path).map_err(|_| LoadError::Part("path"))?;
            let link = if points.is_empty() {
                None
            } else {
                let attached = program.attach(&path, &points, pid);
                Some(attached.map_err(|source| AttachError::Sites { sites: points.len(), source })?)
            };
            Ok(Attached::new(self, link, Some(held), Method::UprobeMulti))
        } else {
            self.load_uprobe(STARTUP)?;
            self.attach_one_by_one(&path, sites, &points, STARTUP)?;
            Ok(Attached::new(self, None, Some(held), Method::PerfEvents))
        }
    }

    /// Arms what sums up a running program's system calls: tracepoints of the kernel's, none of its instructions.
    ///
    /// # Errors
    /// When any probe cannot be put in place; then none is.
    pub fn attach_blocking(mut self) -> Result<Attached, AttachError> {
        for (program, tracepoint) in BLOCKING {
            attach_tracepoint(&mut self, program, tracepoint)?;
        }
        Ok(Attached::new(self, None, None, Method::Tracepoints))
    }

    /// Arms timers on every CPU, so many times a second, which the program looks away from when another process runs: one
    /// of the process's own would be set anew at each context switch.
    ///
    /// # Errors
    /// When one cannot be put in place; then none is.
    pub fn attach_sampling(&mut self, frequency: u64) -> Result<(), AttachError> {
        const PROGRAM: &str = "on_cpu";
        let cpus =
            online_cpus().map_err(|(_, source)| AttachError::Sampling { reason: source.to_string() })?;
        let program: &mut PerfEvent = typed(self, PROGRAM)?;
        program.load().map_err(|error| LoadError::of_program(PROGRAM, error))?;
        let mut armed = Ok(());
        for cpu in cpus {
            let clock = PerfEventConfig::Software(SoftwareEvent::CpuClock);
            let scope = PerfEventScope::AllProcessesOneCpu { cpu };
            if let Err(source) = program.attach(clock, scope, SamplePolicy::Frequency(frequency), false) {
                armed = Err(AttachError::Sampling { reason: source.to_string() });
                break;
            }
        }
        if armed.is_err() {
            // Its timers with it.
            program.unload().map_err(|error| LoadError::of_program(PROGRAM, error))?;
        }
        armed
    }

    /// The startup program for a multi link, or none where the kernel has no such links.
    pub(super) fn multi_program(
        &self,
        name: &'static str,
    ) -> Result<Option<uprobe_multi::Program>, LoadError> {
        match uprobe_multi::load(&self.relocated, name) {
            Ok(program) if program.supported() == Supported::No => Ok(None),
            Ok(program) => Ok(Some(program)),
            // Kernels before 6.6 do not know the attach type.
            Err(refusal) if refusal.source.raw_os_error() == Some(libc::EINVAL) => {
                tracing::debug!("no uprobe_multi here: {}", refusal.verifier_log);
                Ok(None)
            }
            Err(refusal) => Err(LoadError::refused(name, refusal.source, &refusal.verifier_log)),
        }
    }

    /// Loads a program that perf events call.
    pub(super) fn load_uprobe(&mut self, name: &'static str) -> Result<(), LoadError> {
        let program: &mut UProbe = typed(self, name)?;
        program.load().map_err(|error| LoadError::of_program(name, error))
    }

    /// Arms all sites or none. Perf events with a pid would slow every context switch of the target; these see every
    /// process that runs the binary, and the program looks away from all but one. `points` are those of the sites.
    pub(super) fn attach_one_by_one(
        &mut self,
        path: &str,
        sites: &[PlannedSite],
        points: &[Point],
        name: &'static str,
    ) -> Result<Vec<UProbeLinkId>, AttachError> {
        let _undisturbed = Undisturbed::begin();
        let program: &mut UProbe = typed(self, name)?;
        let mut armed = Vec::with_capacity(points.len());
        for (planned, point) in sites.iter().zip(points) {
            let location = UProbeAttachLocation::AbsoluteOffset(point.offset);
            let point = UProbeAttachPoint { location, cookie: Some(point.cookie) };
            match program.attach(point, path, UProbeScope::AllProcesses) {
                Ok(link) => armed.push(link),
                Err(source) => {
                    // All or none. What cannot be taken away goes with the program.
                    armed.into_iter().for_each(|link| drop(program.detach(link)));
                    return Err(AttachError::Site {
                        function: planned.function.clone(),
                        source: Box::new(source),
                    });
                }
            }
        }
        Ok(armed)
    }
}

impl Attached {
    fn new(loaded: Loaded, link: Option<Link>, held: Option<Held>, method: Method) -> Self {
        Self { loaded, link, held, parking: None, gc: None, method }
    }

    /// Disarms what only tells of the time before `main.main`, so that a program that goes on does not pay for it:
    /// every site, and the scheduler's tracepoints.
    ///
    /// # Errors
    /// When aya cannot unload one of the programs.
    pub fn end_startup(&mut self) -> Result<(), LoadError> {
        drop(self.link.take());
        drop(self.held.take());
        if self.method == Method::PerfEvents {
            let program: &mut UProbe = typed(&mut self.loaded, STARTUP)?;
            program.unload().map_err(|error| LoadError::of_program(STARTUP, error))?;
        }
        for name in BEFORE_MAIN {
            let program: &mut RawTracePoint = typed(&mut self.loaded, name)?;
            program.unload().map_err(|error| LoadError::of_program(name, error))?;
        }
        Ok(())
    }

    /// Disarms every probe and waits until none can run any more. Returns how long that took.
    pub fn detach(self) -> Duration {
        let begun = Instant::now();
        let _undisturbed = Undisturbed::begin();
        let Self { loaded, link, held, parking, gc, method: _ } = self;
        drop(link);
        drop((parking, gc));
        drop(loaded);
        drop(held);
        begun.elapsed()
    }
}

/// The open file, not its path: what was read is what is probed, whatever the path names by now.
pub(super) fn own_path(binary: &File) -> String {
    format!("/proc/self/fd/{}", binary.as_raw_fd())
}

/// The sites as the kernel takes them, in their order.
pub(super) fn points(sites: &[PlannedSite], cookie: impl Fn(&PlannedSite) -> u64) -> Vec<Point> {
    let point = |planned: &PlannedSite| Point { offset: planned.site.file_offset.0, cookie: cookie(planned) };
    sites.iter().map(point).collect()
}

pub(super) fn cookie(planned: &PlannedSite) -> u64 {
    Cookie::new(planned.hook, planned.site.register.unwrap_or(0), planned.site.address.0).to_bits()
}

pub(super) fn attach_tracepoint(
    loaded: &mut Loaded,
    program: &'static str,
    tracepoint: &'static str,
) -> Result<(), AttachError> {
    let found: &mut RawTracePoint = typed(loaded, program)?;
    found.load().map_err(|error| LoadError::of_program(program, error))?;
    found
        .attach(tracepoint)
        .map_err(|source| AttachError::Tracepoint { tracepoint, source: Box::new(source) })?;
    Ok(())
}

pub(super) fn typed<'a, P>(loaded: &'a mut Loaded, name: &'static str) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = loaded.ebpf.program_mut(name).ok_or(LoadError::Part(name))?;
    program.try_into().map_err(|error| LoadError::of_program(name, error))
}
