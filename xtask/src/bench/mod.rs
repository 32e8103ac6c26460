//! `cargo xtask bench`: what gotrace costs, as ratios measured in one run.

mod bpftrace;
mod figures;
pub(crate) mod stamp;
mod startup;

use std::process::ExitCode;

use anyhow::Result;

/// Measures what gotrace costs, side by side with its absence and with bpftrace.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Startup(startup::Args),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Startup(args) => startup::run(args),
    }
}
