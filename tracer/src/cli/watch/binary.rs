//! Which program to watch.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::Args;
use crate::cli::exit::TargetRefused;
use crate::target::command;
use crate::target::gobin::GoBinary;
use crate::target::process::{Process, ProcessError};

/// The program that was asked for, by its own name or that of its processes.
pub(super) fn named(args: &Args) -> anyhow::Result<GoBinary> {
    if let Some(name) = &args.name {
        let process = match Process::find(name) {
            Err(ProcessError::SeveralNamed { pids, .. }) if run_the_same(&pids) => {
                Process::find(&pids[0].to_string())
            }
            other => other,
        }?;
        return Ok(GoBinary::from_file(process.open_exe()?, process.exe())?);
    }
    let named = args.binary.as_deref().context("no program to watch")?;
    let path = command::resolve(named, std::env::var_os("PATH").as_deref())?;
    let path = std::fs::canonicalize(&path).unwrap_or(path);
    refuse_script(&path)?;
    Ok(GoBinary::open(&path)?)
}

/// Whether all of them run one file.
fn run_the_same(pids: &[u32]) -> bool {
    let file =
        |pid: &u32| std::fs::metadata(format!("/proc/{pid}/exe")).map(|file| (file.dev(), file.ino())).ok();
    let first = pids.first().and_then(file);
    first.is_some() && pids.iter().all(|pid| file(pid) == first)
}

/// A script's processes run its interpreter.
fn refuse_script(path: &Path) -> anyhow::Result<()> {
    let mut head = Vec::new();
    let opened = std::fs::metadata(path).and_then(|metadata| {
        // Whatever else it is, opening it as a binary says so.
        if metadata.is_file() { std::fs::File::open(path)?.take(256).read_to_end(&mut head) } else { Ok(0) }
    });
    let Some(line) = opened.ok().and_then(|_| head.strip_prefix(b"#!")) else { return Ok(()) };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let interpreter = crate::export::printable(String::from_utf8_lossy(line).trim());
    Err(TargetRefused(format!(
        "{} is a script that {interpreter} runs, and no Go program; watch the program that it starts",
        path.display()
    ))
    .into())
}
