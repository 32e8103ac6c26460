//! Everything that one run tells, ready for any format.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};
use tracer_ebpf::wire::Probe;

use super::gc::GcReport;
use super::startup::StartupTimeline;
use crate::probe::plan::MissingHook;
use crate::stream::ProbeLoss;
use crate::target::gobin::{CodeSegment, GoBinary, Linking};
use crate::units::Nanos;

/// Everything that one run tells.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose report it is.
    pub subject: Subject,
    /// How it started.
    pub timeline: StartupTimeline,
    /// How it ended.
    pub ending: Ending,
    /// The condition of readiness that was asked for and never came.
    pub awaited: Option<String>,
    /// What could not be probed, each with the reason.
    pub missing: Vec<MissingProbe>,
    /// Every probe's account, also when nothing was lost.
    pub losses: Vec<ProbeLoss>,
    /// Records that were of no known kind.
    pub undecodable: u64,
    /// What the garbage collector did, unless that was not wanted or could not be seen.
    pub gc: Option<GcReport>,
    /// What gotrace itself cost the program up to `main.main`, about; none when that was not measured.
    pub overhead: Option<Nanos>,
}

/// Whose report it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// The process's id.
    pub pid: u32,
    /// Its parent's, where somebody else than gotrace started it.
    pub parent: Option<u32>,
    /// Whether it was watched from the end of its execve on, where its times begin, and not from the call.
    pub watched: bool,
    /// Its executable.
    #[serde(serialize_with = "lossy")]
    pub exe: PathBuf,
    /// The Go version that built it, as `go version` prints it.
    pub go_version: String,
    /// The main module's path, when the binary tells.
    pub module: Option<String>,
    /// How it is linked.
    pub linking: Linking,
    /// Where its code is in the file; none when that is not known.
    #[serde(default)]
    pub code: Option<CodeSegment>,
    /// The kernel's release.
    pub kernel: String,
    /// The wall clock, in nanoseconds since 1970, at the timeline's begin.
    pub wall_clock_unix_ns: u64,
    /// Which of several runs it is; none when it is the only one.
    pub repetition: Option<Repetition>,
}

impl Subject {
    /// A process that runs this binary, on this kernel, since that time on the wall clock.
    #[must_use]
    pub fn of(pid: u32, exe: PathBuf, binary: &GoBinary, kernel: String, wall_clock_unix_ns: u64) -> Self {
        Self {
            pid,
            parent: None,
            watched: false,
            exe,
            go_version: binary.version().to_string(),
            module: binary.build_info().and_then(|info| info.main_module().map(ToOwned::to_owned)),
            linking: binary.linking().clone(),
            code: binary.code_segment(),
            kernel,
            wall_clock_unix_ns,
            repetition: None,
        }
    }
}

/// As every report shows it: what is no UTF-8 is replaced.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// One run of several of the same command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// Its number, from one.
    pub run: u32,
    /// How many were asked for.
    pub of: u32,
}

/// How the trace of the process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The process was still running.
    Running,
    /// It exited with this code.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// It ended; how, only its parent was told.
    Gone,
    /// It became another program, of this name, which is not traced.
    Replaced(String),
}

/// A probe that could not be placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingProbe {
    /// The probe's name.
    pub probe: Cow<'static, str>,
    /// The function that was looked for.
    pub function: String,
    /// Why, for people.
    pub reason: String,
    /// Whether only detail is missing for it.
    pub is_detail: bool,
}

impl MissingProbe {
    /// Of a start.
    #[must_use]
    pub fn of_start(MissingHook { hook, function, reason }: MissingHook) -> Self {
        Self { probe: hook.name().into(), function, reason, is_detail: hook.is_detail() }
    }

    /// Of what a report can go without.
    #[must_use]
    pub fn detail(missing: MissingHook) -> Self {
        Self { is_detail: true, ..Self::of_start(missing) }
    }
}

/// The account of the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How often probes ran in the target.
    pub hits: u64,
    /// Hits whose records were lost.
    pub dropped: u64,
    /// Inits whose package is unknown.
    pub unresolved: u64,
    /// Records of no known kind.
    pub undecodable: u64,
}

impl Totals {
    /// Whether nothing was lost or unknown.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.dropped == 0 && self.unresolved == 0 && self.undecodable == 0
    }
}

/// What is known of `main.main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MainReached {
    /// It began that long after execve.
    After(Nanos),
    /// It was not reached.
    No,
    /// It was reached, and the record of when was lost.
    RecordLost,
    /// It could not be probed.
    NotProbed,
    /// Not even the first Go instruction was seen: the program ended before it, or the kernel did not arm the
    /// probes in its memory.
    NothingSeen,
}

impl Report {
    /// What is known of `main.main`.
    #[must_use]
    pub fn main_reached(&self) -> MainReached {
        if let Some(to_main) = self.timeline.to_main {
            return MainReached::After(to_main);
        }
        let hits = |probe| {
            self.losses
                .iter()
                .filter(|loss| loss.probe == probe)
                .map(|loss| loss.hits)
                .fold(0, u64::saturating_add)
        };
        let is_missing = |probe: Probe| self.missing.iter().any(|missing| missing.probe == probe.name());
        if hits(Probe::MainMain) > 0 {
            MainReached::RecordLost
        } else if Probe::ALL.into_iter().filter(|probe| !probe.is_tracepoint()).all(|probe| hits(probe) == 0)
        {
            MainReached::NothingSeen
        } else if is_missing(Probe::MainMain) {
            MainReached::NotProbed
        } else {
            MainReached::No
        }
    }

    /// Sums up every probe's account.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { undecodable: self.undecodable, ..Totals::default() };
        for loss in &self.losses {
            totals.hits = totals.hits.saturating_add(loss.hits);
            totals.dropped = totals.dropped.saturating_add(loss.dropped);
        }
        totals.unresolved = self.timeline.inits.iter().filter(|init| init.is_unresolved()).count() as u64;
        totals
    }

    /// Whether nothing was lost, left out or unknown.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.totals().is_clean()
            && self.missing.iter().all(|missing| missing.is_detail)
            && self.timeline.unmarked.is_empty()
            && self.main_reached() != MainReached::NothingSeen
    }
}
