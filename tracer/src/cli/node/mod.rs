//! `gotrace node`: what runs all the time on a machine.

mod manifest;
mod run;
mod sending;

use std::time::Duration;

use super::{Common, Exit};
use crate::cli::log::Format;
use crate::node::INTERVALS;

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

/// How often metrics are sent.
fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval) if INTERVALS.contains(&interval) => Ok(interval),
        Ok(_) => Err("from 1s to 1day".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
