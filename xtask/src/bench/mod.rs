//! `cargo xtask bench`: what gotrace costs, as ratios measured in one run.

mod agent;
mod all;
mod attach;
mod bpftrace;
mod capture;
mod empty_pair;
mod figures;
mod gc;
pub(crate) mod instructions;
mod kept;
mod scheduler;
mod server;
#[path = "../../../tracer/src/target/spawn.rs"]
#[expect(unreachable_pub, reason = "it is gotrace's own file, where others have a use for it")]
mod spawn;
mod stamp;
mod startup;
mod told;
mod watchers;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::exec::is_root;

/// Measures what gotrace costs, side by side with its absence and with other tools.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Agent(agent::Args),
    All(all::Args),
    Attach(attach::Args),
    Capture(capture::Args),
    Gc(gc::Args),
    Instructions(instructions::Args),
    Scheduler(scheduler::Args),
    Startup(startup::Args),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Agent(args) => agent::run(args),
        What::All(args) => all::run(args),
        What::Attach(args) => attach::run(args),
        What::Capture(args) => capture::run(args),
        What::Gc(args) => gc::run(args),
        What::Instructions(args) => instructions::run(args),
        What::Scheduler(args) => scheduler::run(args),
        What::Startup(args) => startup::run(args),
    }
}

/// Before anything is built for it.
fn ensure_root(what: &str) -> Result<()> {
    if !is_root() {
        bail!("not root: tracing needs it; run: sudo -E cargo xtask bench {what}");
    }
    Ok(())
}
