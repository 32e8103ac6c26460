//! The `gotrace` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    gotrace::cli::main()
}
