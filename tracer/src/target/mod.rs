//! WHO and WHAT: the program to trace, who asked for it, and what its binary says about itself.

mod breakpoints;
pub mod capabilities;
pub mod cgroup;
pub mod command;
pub mod counters;
pub mod descriptor;
pub mod gobin;
pub mod goroutine;
pub mod goroutines;
pub mod identity;
pub mod kernel;
pub mod launch;
mod lookup;
pub mod maps;
pub mod memory;
pub mod patience;
pub mod pid_namespace;
pub mod pidfd;
pub mod process;
mod process_error;
pub mod process_identity;
pub mod processes;
mod rows;
pub mod snapshot;
mod spawn;
pub mod stat;
pub mod syscall;
pub mod thread;
#[cfg(any(test, fuzzing))]
pub mod told;
pub mod unwind;
pub mod user;
