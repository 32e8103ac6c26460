//! `gotrace node`: what runs all the time on a machine.

mod manifest;

use super::Exit;

/// The agent of a machine: metrics of how its Go processes start
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Manifest(manifest::Args),
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::Manifest(args) => manifest::run(args),
    }
}
