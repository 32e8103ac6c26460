//! `cargo xtask harm`, `cargo xtask faults` and `cargo xtask load`: what the tests try for a minute, as often as wanted.

use std::process::ExitCode;

use anyhow::Result;

use crate::test;
use crate::vm::Kernel;

/// Kills gotrace at random instants and looks at what becomes of the program that it is attached to.
#[derive(clap::Args)]
pub(crate) struct Harm {
    /// How often
    #[arg(long, value_name = "N", default_value_t = 1000)]
    times: u64,
}

/// Makes system calls of gotrace fail, one at a time, at every point.
#[derive(clap::Args)]
pub(crate) struct Faults {}

/// Lets programs come and go in containers, and looks at what the node agent tells and takes.
#[derive(clap::Args)]
pub(crate) struct Load {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 120)]
    seconds: u64,
    /// On this of Debian's kernels, in a virtual machine
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
}

pub(crate) fn harm(args: &Harm) -> Result<ExitCode> {
    let times = args.times.to_string();
    test::alone("trust::harm::a_killed_gotrace_does_no_harm", ("GOTRACE_HARM_TIMES", &times))
}

pub(crate) fn faults(Faults {}: &Faults) -> Result<ExitCode> {
    let test = "trust::faults::a_system_call_that_fails_is_told_and_does_no_harm";
    test::alone(test, ("GOTRACE_FAULTS", "whole"))
}

pub(crate) fn load(args: &Load) -> Result<ExitCode> {
    let seconds = args.seconds.to_string();
    let test = "node::load::whatever_comes_and_goes_is_told_of_its_pod";
    let variable = ("GOTRACE_LOAD_SECONDS", &*seconds);
    match args.kernel {
        Some(kernel) => test::chosen(kernel, &format!("--nocapture {test}"), Some(variable)),
        None => test::alone(test, variable),
    }
}
