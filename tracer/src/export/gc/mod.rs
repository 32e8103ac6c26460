//! What the garbage collector did: the part of a report that is about it, in each format.

mod gctrace;
mod ndjson;
mod startup;
pub(super) mod text;

pub(super) use gctrace::{Gctrace, milliseconds};
pub(super) use ndjson::schema;

#[cfg(test)]
pub(super) mod tests;
