//! `gotrace run --repeat N`: one run after another, each its own trace; of all together the spread.

use std::cell::OnceCell;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::mpsc;
use std::time::Duration;

use super::{Args, exit_of, is_within, once};
use crate::cli::output::Outputs;
use crate::cli::repeated::Repeated;
use crate::cli::session::Trace;
use crate::cli::until::Until;
use crate::cli::{Common, Exit, signals};
use crate::model::Repetition;

/// How long a program that was asked to end has time to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command as often as asked, or until a signal ends it.
pub(super) fn run(args: &Args, common: &Common, path: &Path, mut outputs: Outputs) -> anyhow::Result<Exit> {
    let mut recorder = outputs.recorder(args.max_size)?;
    let mut repeated = Repeated::default();
    let costs = OnceCell::new();
    let mut failed: Option<ExitStatus> = None;
    for run in 1..=args.repeat {
        let repetition = Repetition { run, of: args.repeat };
        let (report, trace) =
            match once(args, common, path, &outputs, &mut recorder, Some(repetition), &costs) {
                // Before the program began: the runs so far are what there is.
                Err(_) if run > 1 && signals::ending() => break,
                result => result?,
            };
        repeated.add(&report, &mut outputs)?;
        let ends_itself = args.until == Until::Exit || trace.status().is_some() || signals::ending();
        let status = if ends_itself { trace.wait()? } else { end(trace)? };
        if ends_itself && !status.success() {
            failed = failed.or(Some(status));
        }
        if signals::ending() {
            break;
        }
    }
    let incomplete = repeated.incomplete;
    let finished = repeated.finish(outputs, args.sort.order(), args.top)?;
    let Some(repeats) = finished else { anyhow::bail!("no run") };
    let runs = repeats.series.runs();
    if runs < args.repeat as usize {
        common.note(&format!("ended by a signal after {runs} of {} runs", args.repeat));
    }
    recorder.commit()?;
    let within = is_within(&args.budget, &repeats.series, common);
    Ok(exit_of(incomplete, within, failed.unwrap_or_default()))
}

/// Ends a program that outlived its trace, and waits until it has. Its exit code then says nothing of it.
fn end(trace: Trace) -> anyhow::Result<ExitStatus> {
    let pid = trace.pid;
    signals::send(pid, libc::SIGTERM);
    let (ended, has_ended) = mpsc::channel::<()>();
    let killer = std::thread::Builder::new().name("patience".to_owned()).spawn(move || {
        if has_ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            signals::send(pid, libc::SIGKILL);
        }
    })?;
    let status = trace.wait();
    drop(ended);
    let _ = killer.join();
    status
}
