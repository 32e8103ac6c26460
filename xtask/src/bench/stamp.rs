//! Starts a program and notes the moment just before its execve, the zero of a startup.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::exec::line;

/// Nanoseconds since 1970.
pub(crate) fn wall_clock() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos().cast_signed())
}

/// Runs a program to its end. The moment is the last thing that the new process does before it becomes the program.
pub(crate) fn run(command: &mut Command) -> Result<(i128, Output)> {
    let (mut reader, mut writer) = io::pipe().context("making a pipe")?;
    let note = move || writer.write_all(&wall_clock().to_ne_bytes());
    // SAFETY: between fork and exec only what is async-signal-safe may run: a clock reading and a write are.
    unsafe { command.pre_exec(note) };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().with_context(|| format!("starting {}", line(command)))?;
    let mut moment = [0; 16];
    reader.read_exact(&mut moment).context("reading the moment of the execve")?;
    Ok((i128::from_ne_bytes(moment), output))
}
