//! A Go program whose starts are watched: what is kept of it.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use crate::export::printable;
use crate::model::{InitCatalogue, InitFunction, MissingProbe, Subject};
use crate::probe::Probe;
use crate::probe::plan::{self, Detail, PlannedSite};
use crate::target::counters::CounterPlaces;
use crate::target::gobin::{BinaryError, GoBinary, InitTask, Landmarks, Machine, Support};
use crate::target::goroutines::CensusPlaces;

#[cfg(test)]
use crate::target::gobin::Linking;
#[cfg(test)]
use crate::units::VirtAddr;

/// What is kept of a program: of a binary of some hundred megabytes, some dozens of kilobytes.
#[derive(Debug)]
pub(super) struct Program {
    /// The very file, open.
    pub file: File,
    /// The path that it was found by.
    pub path: PathBuf,
    /// The last part of that.
    pub exe: String,
    /// Its main module, or its main package's path.
    pub module: Option<String>,
    /// Where it is probed.
    pub sites: Vec<PlannedSite>,
    /// Its inits.
    pub catalogue: InitCatalogue,
    /// Where its runtime counts; none when that is not to be had.
    pub counters: Option<CounterPlaces>,
    /// Where its goroutines are; none when that is not to be had.
    pub census: Option<CensusPlaces>,
    /// What a report on one of its processes begins with, but for what only that has.
    pub subject: Subject,
    /// What could not be probed, each with the reason.
    pub missing: Vec<MissingProbe>,
    /// By what its processes' memory is known.
    pub landmarks: Landmarks,
}

/// What an executable is.
#[derive(Debug)]
pub(super) enum Executable {
    /// A Go program that can be watched.
    Go(Box<Program>),
    /// One that cannot, and why.
    Refused(String),
    /// No Go program.
    Other,
}

impl Executable {
    /// Reads it; the path is for its name only.
    #[must_use]
    pub(super) fn read(file: File, path: PathBuf) -> Self {
        let (begun, name) = (Instant::now(), printable(&path.to_string_lossy()));
        let executable = Self::of(file, path);
        tracing::debug!(path = %name, took = ?begun.elapsed(), "read");
        executable
    }

    fn of(file: File, path: PathBuf) -> Self {
        match GoBinary::from_file(file, path) {
            Ok(binary) => {
                Program::of(&binary).map_or_else(Self::Refused, |program| Self::Go(Box::new(program)))
            }
            Err(
                error @ (BinaryError::TooOld { .. }
                | BinaryError::Malformed { .. }
                | BinaryError::Unsupported { .. }),
            ) => Self::Refused(error.to_string()),
            Err(_) => Self::Other,
        }
    }
}

impl Program {
    fn of(binary: &GoBinary) -> Result<Self, String> {
        let path = binary.path();
        let refuse = |why: String| Err(format!("{}: {why}", path.display()));
        if binary.machine() != Machine::HOST {
            return refuse(format!("built for {}, and runs here by emulation", binary.machine()));
        }
        if binary.support() == Support::TooOld {
            return refuse(format!("gotrace knows Go 1.19 to 1.27, and not {}", binary.version()));
        }
        let plan = plan::startup(binary, Detail::Lean);
        if let Some(missing) = plan.missing.iter().find(|missing| missing.hook == Probe::MainMain) {
            return refuse(format!("{}: {}", missing.function, missing.reason));
        }
        // Where there is no list, no init is probed either.
        let tasks = binary.init_tasks().unwrap_or_default();
        let sites = plan.sites.iter().map(|planned| (planned.hook, planned.site.address));
        let info = binary.build_info();
        Ok(Self {
            file: binary.file().try_clone().map_err(|error| format!("{}: {error}", path.display()))?,
            path: path.to_owned(),
            exe: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            module: info.and_then(|info| info.main_module().or(info.path.as_deref())).map(str::to_owned),
            catalogue: InitCatalogue::new(tasks.into_iter().map(without_functions), sites),
            sites: plan.sites,
            missing: plan.missing.into_iter().map(MissingProbe::of_start).collect(),
            subject: Subject::of(0, path.to_owned(), binary, String::new(), 0),
            counters: CounterPlaces::of(binary)
                .inspect_err(|error| tracing::info!("{}: no figures of the runtime: {error}", path.display()))
                .ok(),
            census: CensusPlaces::of(binary)
                .inspect_err(|error| tracing::info!("{}: what waits is not told: {error}", path.display()))
                .ok(),
            landmarks: binary.landmarks(),
        })
    }
}

#[cfg(test)]
impl Program {
    /// A program that has nothing.
    pub(super) fn of_nothing() -> Self {
        let [entry, moduledata, pclntab] = [VirtAddr(0); 3];
        Self {
            file: File::open("/dev/null").unwrap(),
            path: PathBuf::new(),
            exe: String::new(),
            module: None,
            sites: Vec::new(),
            catalogue: InitCatalogue::default(),
            counters: None,
            census: None,
            subject: Subject {
                pid: 0,
                parent: None,
                watched: true,
                exe: PathBuf::new(),
                go_version: String::new(),
                module: None,
                linking: Linking {
                    pie: false,
                    interpreter: None,
                    libraries: Vec::new(),
                    cgo: false,
                    stripped: false,
                    dwarf: false,
                },
                code: None,
                kernel: String::new(),
                wall_clock_unix_ns: 0,
                repetition: None,
            },
            missing: Vec::new(),
            landmarks: Landmarks { entry, moduledata, unlinked: 0, pclntab, magic: 0 },
        }
    }
}

/// Which functions a task runs is not told, only whether it runs any.
fn without_functions(task: InitTask) -> (InitTask, Vec<InitFunction>) {
    let any = InitFunction { name: String::new(), file: None, line: 0, site: None };
    let functions = task.functions.first().map(|_| any).into_iter().collect();
    (task, functions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_go_program_is_no_refusal() {
        let file = File::open("/bin/true").unwrap();
        assert!(matches!(Executable::read(file, "/bin/true".into()), Executable::Other));
    }
}
