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
pub mod launch;
mod lookup;
pub mod memory;
pub mod patience;
pub mod pid_namespace;
pub mod pidfd;
pub mod process;
mod process_error;
pub mod processes;
pub mod snapshot;
mod spawn;
pub mod stat;
pub mod syscall;
pub mod thread;
pub mod unwind;
pub mod user;
