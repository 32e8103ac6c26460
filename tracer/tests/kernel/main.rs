//! gotrace against the running kernel and real Go programs.
//!
//! These need root, BPF and the fixtures: `cargo xtask test` runs them here and in virtual machines.

mod attach;
mod blocking;
mod capabilities;
mod capturing;
mod comparing;
mod comparing_running;
mod counters;
mod endings;
mod formats;
mod gc;
mod identity;
mod listing;
mod node;
mod opening;
mod oracle;
mod output;
mod overhead;
mod readers;
mod readme;
mod recorded;
mod rotating;
mod slowinit;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/transcript.rs"]
mod transcript;
mod transparency;
mod trust;
mod watching;

use serde_json::Value;

/// The phases of a start that reaches `main.main`.
const WHOLE: [&str; 6] =
    ["exec", "dynamic_link", "runtime_bootstrap", "runtime_init", "package_init", "main"];

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}
