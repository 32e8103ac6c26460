//! gotrace's own chores, one verb a file.
#![expect(clippy::print_stdout, reason = "these commands talk to the person who runs them")]

mod apt;
mod bench;
#[path = "../../tracer/build/toolchain.rs"]
mod bpf_toolchain;
mod build;
mod cache;
mod ci;
mod demo;
mod dist;
mod exec;
mod fixtures;
mod fuzz;
mod go_tests;
mod matrix;
mod offsets;
mod privilege;
mod setup;
mod test;
mod tools;
mod trust;
mod vm;

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
    /// From a bare clone to the startup timelines of two programs
    Demo,
    Test(test::Args),
    Fixtures(fixtures::Args),
    Vm(vm::Args),
    Ci(ci::Args),
    Bench(bench::Args),
    Fuzz(fuzz::Args),
    Matrix(matrix::Args),
    Offsets(offsets::Args),
    /// The static binary with its completions, manual pages and licences, packed
    Dist,
    Harm(trust::Harm),
    Faults(trust::Faults),
    Load(trust::Load),
    GoTests(go_tests::Args),
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
        Verb::Fixtures(args) => fixtures::run(&args),
        Verb::Vm(args) => vm::run(&args),
        Verb::Demo => demo::run().map(|()| ExitCode::SUCCESS),
        Verb::Test(args) => test::run(&args),
        Verb::Ci(args) => ci::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Matrix(args) => matrix::run(&args),
        Verb::Offsets(args) => offsets::run(&args),
        Verb::Dist => dist::run().map(|_| ExitCode::SUCCESS),
        Verb::Harm(args) => trust::harm(&args),
        Verb::Faults(args) => trust::faults(&args),
        Verb::Load(args) => trust::load(&args),
        Verb::GoTests(args) => go_tests::run(&args),
        Verb::Build => build::run().map(|_| ExitCode::SUCCESS),
    }
}
