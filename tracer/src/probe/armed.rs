//! Sites in a running program that are armed, and disarmed again while the rest stays.

use std::ffi::CString;
use std::fs::File;
use std::time::{Duration, Instant};

use aya::programs::UProbe;

use super::attach::{AttachError, Attached, cookie, own_path, points, typed};
use super::held::Held;
use super::load::{LoadError, Loaded};
use super::plan::PlannedSite;
use super::trap;
use super::uprobe_multi::{Link, Program, Supported};
use crate::units::Nanos;

/// The program that serves every site of the scheduler's.
const PARKING: &str = "parking";
/// The program that serves every site of the collector's.
const GC: &str = "gc";

/// How the sites are armed.
#[derive(Debug)]
enum Way {
    /// All at once: out they go at once too.
    Multi { program: Program, link: Option<Link> },
    /// One perf event a site, on kernels before 6.6: each takes about 0.1 s to go.
    PerfEvents,
}

/// A program that serves some sites, loaded.
#[derive(Debug)]
pub(super) struct Armed {
    name: &'static str,
    way: Way,
    /// The pages of its sites, once they are armed.
    held: Option<Held>,
}

impl Attached {
    /// Loads the program that sees goroutines parked and run, and measures what it costs to run into a probe, on
    /// an instruction of gotrace's own.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn load_parking(&mut self) -> Result<Nanos, AttachError> {
        let armed = Armed::load(&mut self.loaded, PARKING)?;
        let Armed { name, way, .. } = self.parking.insert(armed);
        let program = match way {
            Way::Multi { program, .. } => Some(&*program),
            Way::PerfEvents => None,
        };
        trap::cost(&mut self.loaded, program, name)
    }

    /// Arms the sites of `binary`, which the process runs.
    ///
    /// # Errors
    /// When the file has changed, or the kernel refuses; then none is armed.
    pub fn arm_parking(&mut self, binary: &File, sites: &[PlannedSite], pid: u32) -> Result<(), AttachError> {
        let parking = self.parking.as_mut().ok_or(LoadError::Part(PARKING))?;
        parking.arm(&mut self.loaded, binary, sites, pid)
    }

    /// Disarms them, and waits until none can run any more. Returns how long that took.
    ///
    /// # Errors
    /// When aya cannot unload the program.
    pub fn disarm_parking(&mut self) -> Result<Duration, LoadError> {
        let begun = Instant::now();
        if let Some(parking) = self.parking.take() {
            parking.disarm(&mut self.loaded)?;
        }
        Ok(begun.elapsed())
    }

    /// Loads the program that sees the collector's cycles and the stops of the world, and arms its sites of `binary`,
    /// which the process runs, or will. They stay armed when `main.main` is reached.
    ///
    /// # Errors
    /// When the file has changed, or the kernel refuses; then none is armed.
    pub fn arm_gc(&mut self, binary: &File, sites: &[PlannedSite], pid: u32) -> Result<(), AttachError> {
        let armed = Armed::load(&mut self.loaded, GC)?;
        self.gc.insert(armed).arm(&mut self.loaded, binary, sites, pid)
    }
}

impl Armed {
    fn load(loaded: &mut Loaded, name: &'static str) -> Result<Self, LoadError> {
        let way = match loaded.multi_program(name)? {
            Some(program) => Way::Multi { program, link: None },
            None => {
                loaded.load_uprobe(name)?;
                Way::PerfEvents
            }
        };
        Ok(Self { name, way, held: None })
    }

    fn arm(
        &mut self,
        loaded: &mut Loaded,
        binary: &File,
        sites: &[PlannedSite],
        pid: u32,
    ) -> Result<(), AttachError> {
        self.held = Some(Held::verified(binary, sites)?);
        let path = own_path(binary);
        let points = points(sites, cookie);
        match &mut self.way {
            Way::Multi { program, link } => {
                let pid = if program.supported() == Supported::Yes { pid } else { 0 };
                let path = CString::new(path).map_err(|_| LoadError::Part("path"))?;
                let armed = program.attach(&path, &points, pid);
                *link = Some(armed.map_err(|source| AttachError::Sites { sites: sites.len(), source })?);
            }
            Way::PerfEvents => drop(loaded.attach_one_by_one(&path, sites, &points, self.name)?),
        }
        Ok(())
    }

    fn disarm(self, loaded: &mut Loaded) -> Result<(), LoadError> {
        if let Self { name, way: Way::PerfEvents, .. } = self {
            let program: &mut UProbe = typed(loaded, name)?;
            program.unload().map_err(|error| LoadError::of_program(name, error))?;
        }
        Ok(())
    }
}
