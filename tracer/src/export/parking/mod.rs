//! Why goroutines did not run: the part of a report on a running program that `--waits` adds, in each format.

mod ndjson;
mod text;

#[cfg(test)]
pub(super) mod tests;
