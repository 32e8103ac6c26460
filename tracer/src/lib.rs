//! gotrace shows why a Go program starts slowly and what it is blocked on, without touching it.
//!
//! The modules are the stages of one pipeline, in order; a stage depends only on those before it:
//!
//! ```text
//! target   who and what: a command, a user, a Go binary read from its bytes alone
//! probe    where: facts about a binary -> sites; load, attach, detach
//! stream   the kernel's ring buffer -> bytes
//! event    bytes -> typed events
//! model    events -> histories
//! capture  what the models are given -> a file, and back
//! export   histories -> text, NDJSON, ...
//! ```
//!
//! `event`, `model` and `export` are pure: they know neither aya nor tokio nor clap. Beside the pipeline stand
//! `doctor` (can it work here?), `node` (the agent of a machine), `cli` (one verb a file), and the small `units` and `files`.

pub mod capture;
pub mod cli;
pub mod doctor;
pub mod event;
pub mod export;
pub mod files;
pub mod model;
pub mod node;
pub mod probe;
pub mod stream;
pub mod target;
pub mod units;
