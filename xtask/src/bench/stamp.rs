//! Starts a program and notes the moment just before its execve, the zero of a startup.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::exec::line;

/// What stands before the moment, in nanoseconds since 1970.
const MARK: &str = "execve unix_ns=";

/// Becomes a program, and says when.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Nanoseconds since 1970.
pub(crate) fn wall_clock() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos().cast_signed())
}

/// The last thing that the new process does before it becomes the program is to say so.
pub(crate) fn become_program(args: &Args) -> Result<ExitCode> {
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]);
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{MARK}{}", wall_clock()).context("saying when")?;
    Err(command.exec()).with_context(|| format!("becoming {}", line(&command)))
}

/// Runs a program to its end. Its process is one that has just begun, because an execve takes down what there was
/// before, on the program's time: a child that this one forked would make every start look slower.
pub(crate) fn run(command: &Command) -> Result<(i128, Output)> {
    let own = std::env::current_exe().context("finding this program")?;
    let mut stamped = Command::new(own);
    stamped.arg("stamp").arg(command.get_program()).args(command.get_args());
    stamped.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = stamped.output().with_context(|| format!("starting {}", line(command)))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let moment = said.lines().find_map(|line| line.strip_prefix(MARK)).context("the start was not noted")?;
    Ok((moment.parse().context("reading the moment of the execve")?, output))
}
