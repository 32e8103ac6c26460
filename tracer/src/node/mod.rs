//! The agent of a machine.

pub mod manifest;
