//! Every process that begins to run one of some binaries: one set of programs, and as many binaries as come.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use aya::programs::UProbe;
use aya::programs::uprobe::UProbeLinkId;
use tracer_ebpf::wire::startup::Cookie;

use super::attach::{AttachError, attach_tracepoint, own_path, points, typed};
use super::held::Held;
use super::load::{LoadError, Loaded};
use super::plan::PlannedSite;
use super::trap;
use super::uprobe_multi::{Link, Program};
use super::warmth::Warmth;
use crate::units::Nanos;

/// The program that serves every uprobe site.
pub(super) const WATCH: &str = "watch";

/// So many threads take links away at a time: each waits for the same of the kernel, until none of its processors can
/// be in a probe.
const DETACHING: usize = 16;

/// The programs that see starts, in the kernel. Dropping it disarms them.
#[derive(Debug)]
pub struct Watching {
    loaded: Loaded,
    /// None where the kernel has no links of many sites: then each is a perf event.
    program: Option<Program>,
    binaries: BTreeMap<u64, Armed>,
}

/// The armed sites of one binary, and their pages.
#[derive(Debug)]
struct Armed {
    links: Links,
    #[expect(dead_code, reason = "held for its drop")]
    held: Held,
}

#[derive(Debug)]
enum Links {
    Multi(#[expect(dead_code, reason = "held for its drop")] Link),
    PerfEvents(Vec<UProbeLinkId>),
}

impl Loaded {
    /// Arms what sees every exec. No binary is watched yet.
    ///
    /// # Errors
    /// When the kernel refuses a program.
    pub fn watch_starts(mut self) -> Result<Watching, AttachError> {
        for (program, tracepoint) in
            [("watch_exec", "sched_process_exec"), ("watch_exit", "sched_process_exit")]
        {
            attach_tracepoint(&mut self, program, tracepoint)?;
        }
        let program = self.multi_program(WATCH)?;
        if program.is_none() {
            self.load_uprobe(WATCH)?;
        }
        Ok(Watching { loaded: self, program, binaries: BTreeMap::new() })
    }
}

impl Watching {
    /// Arms what sees processes listen.
    ///
    /// # Errors
    /// When the kernel refuses it, or has no TCP.
    pub fn watch_listening(&mut self) -> Result<(), AttachError> {
        attach_tracepoint(&mut self.loaded, "watch_listen", "inet_sock_set_state")
    }

    /// What it costs a process to run into a site: the trap, and to find that nothing is to be told of it, measured on
    /// gotrace's own code. A start's records come on top.
    ///
    /// # Errors
    /// When the kernel refuses the probe.
    pub fn hit_cost(&mut self) -> Result<Nanos, AttachError> {
        trap::cost(&mut self.loaded, self.program.as_ref(), WATCH)
    }

    /// What gets the kernel ready to arm; none where the kernel has no links of many sites.
    #[must_use]
    pub fn warmth(&self) -> Option<Warmth> {
        let warmth = Warmth::by(self.program.as_ref()?);
        warmth.inspect_err(|error| tracing::debug!("every probe will take its time: {error}")).ok()
    }

    /// Arms the sites of a binary, whose starts' [`crate::event::Origin`] is of that number (of at most 48 bits) from
    /// now on.
    ///
    /// # Errors
    /// When the file has changed, or the kernel refuses; then none is armed.
    pub fn arm(&mut self, number: u64, binary: &File, sites: &[PlannedSite]) -> Result<(), AttachError> {
        let held = Held::verified(binary, sites)?;
        let cookie = |planned: &PlannedSite| {
            Cookie::new(planned.hook, planned.site.register.unwrap_or(0), number).to_bits()
        };
        let (path, points) = (own_path(binary), points(sites, cookie));
        let links = if let Some(program) = &self.program {
            let path = CString::new(path).map_err(|_| LoadError::Part("path"))?;
            let link = program.attach(&path, &points, 0);
            Links::Multi(link.map_err(|source| AttachError::Sites { sites: points.len(), source })?)
        } else {
            Links::PerfEvents(self.loaded.attach_one_by_one(&path, sites, &points, WATCH)?)
        };
        self.binaries.insert(number, Armed { links, held });
        Ok(())
    }

    /// Disarms those of the binary of that number.
    ///
    /// # Errors
    /// When aya cannot take one away.
    pub fn disarm(&mut self, number: u64) -> Result<(), LoadError> {
        if let Some(Armed { links: Links::PerfEvents(links), .. }) = self.binaries.remove(&number) {
            let program: &mut UProbe = typed(&mut self.loaded, WATCH)?;
            for link in links {
                program.detach(link).map_err(|error| LoadError::of_program(WATCH, error))?;
            }
        }
        Ok(())
    }

    /// Disarms every probe and waits until none can run any more. Returns how long that took.
    pub fn detach(self) -> Duration {
        let begun = Instant::now();
        let Self { loaded, program, binaries } = self;
        let mut parts: Vec<Vec<Armed>> = (0..DETACHING).map(|_| Vec::new()).collect();
        for (index, armed) in binaries.into_values().enumerate() {
            parts[index % DETACHING].push(armed);
        }
        thread::scope(|scope| {
            for part in parts.into_iter().filter(|part| !part.is_empty()) {
                // Where the kernel has no room for a thread, what it was to take away goes here, with the error.
                drop(thread::Builder::new().spawn_scoped(scope, move || drop(part)));
            }
        });
        drop(program);
        drop(loaded);
        begun.elapsed()
    }
}
