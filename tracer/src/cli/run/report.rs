//! A run's trace -> its report.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use tracer_ebpf::config::HeapConfig;

use crate::cli::collection::Collected;
use crate::cli::report::kernel_release;
use crate::cli::session::Trace;
use crate::cli::traceable::Traceable;
use crate::event::EventKind;
use crate::model::gc::{GcInput, GcReport};
use crate::model::{
    BinarySymbols, Ending, LoadedCode, MissingProbe, Observation, Report, Stack, StartupTimeline, Subject,
};
use crate::stream::Tables;
use crate::target::gobin::{Frame, GoBinary, HeapRefusal};
use crate::target::launch::ExecStamp;
use crate::target::process::Process;
use crate::target::snapshot::Observed;
use crate::units::Nanos;

/// From how long on a cycle or a stop of the world is told by itself.
const SLOW_STOP: Nanos = Nanos(1_000_000);

/// Everything that the trace tells.
pub(super) fn of_trace(traceable: &Traceable, exe: &Path, trace: &Trace) -> Report {
    let binary = &traceable.binary;
    let (begin, wall_unix) = begin(trace);
    let present = trace.closing.as_ref().and_then(|closing| closing.wait.clone());
    let present = present.map(|wait| (wait, present_stack(binary, trace.pid)));
    let closing = trace.closing.as_ref().map(|closing| closing.account);
    let Trace { end, gone, ready, throttled, .. } = *trace;
    let observation = Observation { begin, end, gone, closing, present, ready, throttled };
    let exe = std::fs::canonicalize(exe).unwrap_or_else(|_| exe.to_owned());
    let subject = Subject::of(trace.pid, exe, binary, kernel_release(), wall_unix);
    let ending = trace.status().map_or(Ending::Running, ending);
    let report = traceable.report(subject, &trace.events, &observation, ending);
    let gc = trace
        .collected
        .as_ref()
        .map(|collected| gc(traceable, trace, begin, collected, throttled).charged(&report.timeline));
    Report { losses: trace.losses.clone(), undecodable: trace.undecodable, gc, ..report }
}

/// What the garbage collector did from the program's first instruction on.
fn gc(
    traceable: &Traceable,
    trace: &Trace,
    began: Nanos,
    collected: &Collected,
    throttled: Option<Nanos>,
) -> GcReport {
    let binary = &traceable.binary;
    GcReport::of(GcInput {
        history: &collected.history,
        began,
        ended: trace.end,
        slow_from: SLOW_STOP,
        assists: &[],
        assists_before: &[],
        stacks: &Tables::default(),
        throttled,
        runtime_init: collected.program_began,
        gc_percent: None,
        module: binary.build_info().and_then(|info| info.main_module()),
        missing: collected.missing.clone(),
        blocking: None,
        symbols: &BinarySymbols { binary, bias: traceable.bias(&trace.events) },
    })
}

/// Of how many inits the allocations are not known though they were asked for, and why.
pub(super) fn missing_heap(
    heap: Result<HeapConfig, HeapRefusal>,
    timeline: &StartupTimeline,
) -> Option<MissingProbe> {
    let done = timeline.inits.iter().filter(|init| init.done);
    let unknown = done.clone().filter(|init| init.heap.is_none()).count();
    let all = done.count();
    let reason = match heap {
        Err(refusal) => refusal.to_string(),
        Ok(_) if unknown == 0 => return None,
        Ok(HeapConfig { most_ps, .. }) => format!(
            "of {unknown} of {all} inits: there were more than {most_ps} Ps (GOMAXPROCS), a counter was not \
             readable, or another thread changed it meanwhile"
        ),
    };
    let function = "runtime.memstats".to_owned();
    Some(MissingProbe { probe: "heap".into(), function, reason, is_detail: unknown < all })
}

/// When the program's own time begins: with its call of execve, which the kernel side's account begins with. What
/// the child did between its stamp and that was gotrace's.
fn begin(trace: &Trace) -> (Nanos, u64) {
    let ExecStamp { boot, wall_unix } = trace.stamp;
    let exec = trace.events.iter().find_map(|event| match &event.kind {
        EventKind::Exec { account, .. } => Some((event.time, account)),
        _ => None,
    });
    let Some((time, account)) = exec else { return (boot, wall_unix) };
    let taken = account.on_cpu + account.runnable + account.blocked.iter().sum::<u64>();
    let begin = time.since(Nanos(taken));
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
