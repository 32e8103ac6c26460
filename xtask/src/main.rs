//! gotrace's own chores, one verb a file.
#![expect(clippy::print_stdout, reason = "these commands talk to the person who runs them")]

mod apt;
#[path = "../../tracer/build/toolchain.rs"]
mod bpf_toolchain;
mod build;
mod cache;
mod exec;
mod setup;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// gotrace's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Verb {
    Setup(setup::Args),
    /// Sets up what is missing and builds the release command
    Build,
}

fn main() -> ExitCode {
    match run(Verb::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Setup(args) => setup::run(&args),
        Verb::Build => build::run().map(|_| ExitCode::SUCCESS),
    }
}
