//! A run's trace -> what its report is made from.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use tracer_ebpf::config::HeapConfig;

use crate::cli::session::Trace;
use crate::cli::traceable::Traceable;
use crate::model::{Ending, HeapWanted, LoadedCode, Observation, Stack, StartInput, Subject, start_began};
use crate::target::gobin::{Frame, GoBinary, HeapRefusal};
use crate::target::kernel::kernel_release;
use crate::target::launch::ExecStamp;
use crate::target::process::Process;
use crate::target::snapshot::Observed;
use crate::units::Nanos;

/// Everything that the trace tells, but for its events.
pub(super) fn input_of(traceable: &Traceable, exe: &Path, trace: &Trace) -> StartInput {
    let binary = &traceable.binary;
    let (begin, wall_unix) = begin(trace);
    let present = trace.closing.as_ref().and_then(|closing| closing.wait.clone());
    let present = present.map(|wait| (wait, present_stack(binary, trace.pid)));
    let closing = trace.closing.as_ref().map(|closing| closing.account);
    let Trace { end, gone, ready, throttled, .. } = *trace;
    StartInput {
        subject: Subject::of(trace.pid, canonical(exe), binary, kernel_release(), wall_unix),
        observation: Observation { begin, end, gone, closing, present, ready, throttled },
        ending: trace.status().map_or(Ending::Running, ending),
        missing: traceable.missing(),
        losses: trace.losses.clone(),
        undecodable: trace.undecodable,
        ready_when: None,
        heap: None,
        gc: trace.collected.as_ref().map(|collected| collected.known.clone()),
        importers: BTreeMap::new(),
        costs: None,
    }
}

/// The executable's path as reports have it.
pub(super) fn canonical(exe: &Path) -> std::path::PathBuf {
    std::fs::canonicalize(exe).unwrap_or_else(|_| exe.to_owned())
}

/// How what is allocated was to be counted.
pub(super) fn heap_wanted(heap: &Result<HeapConfig, HeapRefusal>) -> HeapWanted {
    match heap {
        Ok(HeapConfig { most_ps, .. }) => HeapWanted::Of { most_ps: u64::from(*most_ps) },
        Err(refusal) => HeapWanted::Refused(refusal.to_string()),
    }
}

/// When the program's own time begins: with its call of execve. What the child did between its stamp and that was
/// gotrace's.
fn begin(trace: &Trace) -> (Nanos, u64) {
    let ExecStamp { boot, wall_unix } = trace.stamp;
    let Some(begin) = start_began(&trace.events) else { return (boot, wall_unix) };
    (begin, wall_unix + begin.since(boot).0)
}

/// The main goroutine's stack, of a program that waits; empty where it cannot be had.
fn present_stack(binary: &GoBinary, pid: u32) -> Vec<Frame> {
    let look = || -> anyhow::Result<Vec<Frame>> {
        let process = Process::find(&pid.to_string())?;
        let observed = Observed::new(&process, binary)?;
        let goroutine = observed.look()?.main?.map(|main| main.goroutine);
        let copy = goroutine.and_then(|goroutine| goroutine.stack);
        let code = LoadedCode { binary, bias: observed.bias };
        Ok(copy.map(|copy| Stack::unwind(&copy, &code).frames).unwrap_or_default())
    };
    look().unwrap_or_else(|error| {
        tracing::warn!("the stack of the wait that goes on is not to be had: {error}");
        Vec::new()
    })
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, Some(signal)) => Ending::Killed(signal),
        (None, None) => Ending::Running,
    }
}
