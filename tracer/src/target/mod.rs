//! WHO and WHAT: the program to trace, who asked for it, and what its binary says about itself.

pub mod command;
pub mod gobin;
pub mod launch;
pub mod pid_namespace;
pub mod user;
