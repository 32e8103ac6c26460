//! `gotrace node`: what runs all the time on a machine.

mod manifest;
mod run;
mod sending;

use super::{Common, Exit};
use crate::cli::log::Format;

/// The agent of a machine: metrics of how its Go processes start
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Run(run::Args),
    Manifest(manifest::Args),
}

impl Args {
    /// How the verb's own messages are written.
    pub(super) fn log_format(&self) -> Format {
        match &self.verb {
            Verb::Run(args) => args.log_format,
            Verb::Manifest(_) => Format::Text,
        }
    }
}

/// Runs the verb.
pub(super) fn run(args: &Args, common: &Common) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::Run(args) => run::run(args, common),
        Verb::Manifest(args) => manifest::run(args),
    }
}
