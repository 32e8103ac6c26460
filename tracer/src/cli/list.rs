//! `gotrace list`: the Go processes here.

use std::io::{self, Write as _};

use anyhow::Context as _;

use super::{Common, Exit};
use crate::export::list;
use crate::target::capabilities::{Capability, Rights, listed};
use crate::target::processes;

/// Show the Go programs that run here, and whether they can be traced
///
/// Every process's executable is read, each once: strip, PIE and containers do not matter. Without root, processes
/// of other users are counted only.
#[derive(clap::Args)]
pub(super) struct Args {
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    let processes = processes::go_processes();
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let written = if args.json {
        list::write_ndjson(&processes, &mut out)
    } else {
        list::write_text(&processes, &mut out)
    };
    if processes.denied > 0 {
        let rights = Rights::own();
        let missing = rights.missing(&[Capability::SysPtrace, Capability::DacReadSearch]);
        let hint = if missing.is_empty() {
            String::new()
        } else {
            format!(": {} missing; fix: {}", listed(&missing), rights.remedy(&missing, "gotrace list"))
        };
        common.note(&format!("{} processes may not be looked at{hint}", processes.denied));
    }
    if !processes.silent.is_empty() {
        common.note(&format!(
            "the files of processes {:?} do not answer, so it is not known what they are; {} others were not asked then",
            processes.silent, processes.skipped
        ));
    }
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        other => other.context("cannot write to standard output").map(|()| Exit::Ok),
    }
}
