//! `gotrace inspect BINARY`: what gotrace knows of a binary without running it.

use std::path::PathBuf;

use super::Exit;

/// Show what gotrace knows of a binary without running it
#[derive(clap::Args)]
pub(super) struct Args {
    /// The binary to read
    binary: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(_args: &Args) -> anyhow::Result<Exit> {
    Ok(Exit::Ok)
}
