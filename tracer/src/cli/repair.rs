//! `gotrace repair PID`: what a tracer that was killed may have left in a program's code, out again.

use std::io::Write as _;

use super::exit::TargetRefused;
use super::{Common, Exit};
use crate::doctor;
use crate::probe::repair::rearm;
use crate::target::gobin::{CodeSegment, GoBinary};
use crate::target::process::Process;
use crate::units::{FileOffset, VirtAddr};

/// Remove the breakpoints that a killed tracer may have left in a program
///
/// Compares the program's code in memory with its file. A tracer that is killed (kill -9) just while the kernel arms or
/// disarms its probes can leave breakpoints in the program, which then goes on, but is slowed down each time that it
/// comes by one. Each is probed once more and let go, so that the kernel itself restores the byte; gotrace writes nothing
/// into the program. The probes of tracers that are attached now stay.
#[derive(clap::Args)]
#[command(
    after_long_help = "Exit codes: 0 when the code is as in the file, or only probes of tracers that are attached are in it; 1 when
something was left that is not known to be a probe; 3 when gotrace cannot work here or may not look into the process;
4 when there is no such process, it is no Go program, or it is under a debugger, whose breakpoints are its own."
)]
pub(super) struct Args {
    /// The process's id, or the name of its program, or the path of its binary (with a slash in it)
    #[arg(value_name = "PID|NAME|PATH")]
    who: String,
}

/// What was found and what became of it.
#[derive(Debug, Default)]
pub(super) struct Repaired {
    /// Those that are gone.
    restored: Vec<Place>,
    /// Those that somebody still has there.
    in_use: Vec<Place>,
    /// Those that were not touched, for no probe can have put them there.
    strange: Vec<VirtAddr>,
}

/// An instruction of a function.
#[derive(Debug)]
struct Place {
    function: String,
    at: VirtAddr,
    offset: FileOffset,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    let process = Process::find(&args.who)?;
    process.notes().iter().for_each(|note| common.note(note));
    let binary = GoBinary::from_file(process.open_exe()?, process.exe())?;
    doctor::fit(doctor::checks(&format!("gotrace repair {}", args.who)))?;
    let repaired = repair(&process, &binary)?;
    let mut out = anstream::stdout().lock();
    repaired.sentences(&process).iter().try_for_each(|sentence| writeln!(out, "{sentence}"))?;
    Ok(if repaired.strange.is_empty() { Exit::Ok } else { Exit::Failure })
}

/// Has the kernel restore what no tracer uses any more.
pub(super) fn repair(process: &Process, binary: &GoBinary) -> anyhow::Result<Repaired> {
    let mut repaired = Repaired::default();
    let mut places = Vec::new();
    for at in process.breakpoints(binary)? {
        match place(binary, at) {
            Some(place) => places.push(place),
            None => repaired.strange.push(at),
        }
    }
    if places.is_empty() {
        return Ok(repaired);
    }
    if let Some(tracer) = process.tracer() {
        let text = format!(
            "process {} is under a debugger ({tracer}), whose breakpoints cannot be told from those of a tracer; \
             end it first",
            process.pid
        );
        return Err(TargetRefused(text).into());
    }
    let offsets: Vec<FileOffset> = places.iter().map(|place| place.offset).collect();
    rearm(binary.file(), &offsets, process.pid)?;
    let left = process.breakpoints(binary)?;
    (repaired.in_use, repaired.restored) = places.into_iter().partition(|place| left.contains(&place.at));
    Ok(repaired)
}

/// A place that a probe can have been on.
fn place(binary: &GoBinary, at: VirtAddr) -> Option<Place> {
    let CodeSegment { start, offset, .. } = binary.code_segment()?;
    let function = binary.function_with_instruction(at).ok()?;
    let offset = FileOffset(at.0.checked_sub(start.0)?.checked_add(offset.0)?);
    Some(Place { function, at, offset })
}

impl Repaired {
    /// Whether a tracer had left anything.
    pub(super) fn has_restored(&self) -> bool {
        !self.restored.is_empty()
    }

    /// What was done, for people.
    pub(super) fn sentences(&self, process: &Process) -> Vec<String> {
        let Self { restored, in_use, strange } = self;
        let mut said = Vec::new();
        let pid = process.pid;
        if !restored.is_empty() {
            said.push(format!(
                "process {pid}: {} of a tracer that is gone removed, from {}",
                breakpoints(restored.len()),
                functions(restored)
            ));
        }
        if !in_use.is_empty() {
            said.push(format!(
                "process {pid}: {} left to a tracer that is attached, in {}",
                breakpoints(in_use.len()),
                functions(in_use)
            ));
        }
        if !strange.is_empty() {
            let at: Vec<String> = strange.iter().take(MOST_TOLD).map(|at| format!("{:#x}", at.0)).collect();
            said.push(format!(
                "process {pid}: {} left alone, where no instruction of a Go function is known to begin: {}",
                breakpoints(strange.len()),
                at.join(", ")
            ));
        }
        if said.is_empty() {
            said.push(format!("process {pid}: its code is as in its file; there is nothing to repair"));
        }
        said
    }
}

/// So many are told by name.
const MOST_TOLD: usize = 8;

fn breakpoints(count: usize) -> String {
    if count == 1 { "1 breakpoint".to_owned() } else { format!("{count} breakpoints") }
}

fn functions(places: &[Place]) -> String {
    let mut names: Vec<&str> = places.iter().map(|place| place.function.as_str()).collect();
    names.dedup();
    let more = names.len().saturating_sub(MOST_TOLD);
    names.truncate(MOST_TOLD);
    let named = names.join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}
