//! Why goroutines did not run: the part of a report on a running program that `--waits` adds, in each format.

mod ndjson;
pub(super) mod text;

pub(super) use ndjson::schema;

#[cfg(test)]
pub(super) mod tests;
