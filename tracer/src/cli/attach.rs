//! `gotrace attach PID|NAME`: how far a running program's start is, and what it waits for, from its memory
//! alone.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Exit;
use super::exit::TargetRefused;
use super::output::Outputs;
use super::run::kernel_release;
use crate::export::Format;
use crate::model::{LoadedCode, StartupStatus, StatusReport, Subject, Usage};
use crate::target::gobin::{BinaryError, GoBinary, Machine, Support};
use crate::target::process::{Process, ProcessError};
use crate::target::snapshot::{Observed, Snapshot};
use crate::units::boot_clock;

/// How far apart the looks are that prove that something stays where it is.
const BETWEEN: Duration = Duration::from_millis(20);

/// So many looks at a program that moves on between them.
const MOST_LOOKS: usize = 5;

/// Show how far a running Go program's start is, and what it waits for
///
/// Tells which package's init runs, or that all are over, and where the main goroutine is: its stack with files
/// and lines, its system call or wait reason, and what it waits for. All of it is read from the program's memory
/// and from /proc; the program is not stopped, and nothing is loaded into the kernel.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  sudo gotrace attach 4242
  sudo gotrace attach --json server | jq

Exit codes: 0 when the status is known; 3 when the process may not be looked into, 4 when there is no such
process or it is no Go program that gotrace knows.")]
pub(super) struct Args {
    /// Write the report to FILE; the format follows from its name (.txt, .ndjson). Repeatable; - is
    /// standard output
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// One JSON object a line instead of text
    #[arg(long)]
    json: bool,
    /// The process's id, or the name of its program
    #[arg(value_name = "PID|NAME")]
    who: String,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut outputs = Outputs::open(&args.output, args.json)?;
    let process = Process::find(&args.who)?;
    let binary = binary_of(&process)?;
    let observed = Observed::new(&process, &binary)?;
    let code = LoadedCode { binary: &binary, bias: observed.bias };
    let tell = |first: &Snapshot, second: &Snapshot| StartupStatus::of(&observed.tasks, first, second, &code);

    let mut last = observed.look()?;
    let mut status = tell(&last, &last);
    for _ in 1..MOST_LOOKS {
        thread::sleep(BETWEEN);
        let next = observed.look()?;
        status = tell(&last, &next);
        last = next;
        if status.main_view().is_none_or(|main| main.stays.is_some()) {
            break;
        }
    }
    let report = report(&process, &binary, status, &last)?;
    outputs.write(Format::Ndjson, |color, out| report.write(Format::Ndjson, color, out))?;
    outputs.finish(|color, out| report.write(Format::Text, color, out))?;
    Ok(Exit::Ok)
}

/// The Go program that runs in the process.
fn binary_of(process: &Process) -> anyhow::Result<GoBinary> {
    let exe = process.exe();
    let binary = match GoBinary::from_file(process.open_exe()?, exe.clone()) {
        Err(error @ BinaryError::NotGo { .. }) => {
            let Some((library, binary)) = process.go_library() else { return Err(error.into()) };
            let version = binary.version().to_string();
            return Err(ProcessError::Library { pid: process.pid, exe, library, version }.into());
        }
        other => other?,
    };
    let refuse = |reason: String| Err(TargetRefused(reason).into());
    let host = if cfg!(target_arch = "x86_64") { Machine::X86_64 } else { Machine::Aarch64 };
    if binary.machine() != host {
        return refuse(format!(
            "{} is built for {}, and runs here by emulation",
            exe.display(),
            binary.machine()
        ));
    }
    match binary.support() {
        Support::Full => Ok(binary),
        Support::TooOld | Support::TooNew => refuse(format!(
            "{} was built by {}; gotrace knows the inits of Go 1.19 to 1.27",
            exe.display(),
            binary.version()
        )),
    }
}

fn report(
    process: &Process,
    binary: &GoBinary,
    status: StartupStatus,
    last: &Snapshot,
) -> anyhow::Result<StatusReport> {
    let stat = process.stat()?;
    let began = stat.start.min(last.at);
    let ago = Duration::from_nanos(boot_clock().since(began).0);
    let wall = SystemTime::now().checked_sub(ago).and_then(|wall| wall.duration_since(UNIX_EPOCH).ok());
    Ok(StatusReport {
        subject: Subject::of(
            process.pid,
            process.exe(),
            binary,
            kernel_release(),
            wall.and_then(|wall| u64::try_from(wall.as_nanos()).ok()).unwrap_or(0),
        ),
        began,
        at: last.at,
        usage: Usage {
            cpu: process.cpu_time(),
            user: stat.user,
            system: stat.system,
            minor_faults: stat.minor_faults,
            major_faults: stat.major_faults,
        },
        status,
    })
}
