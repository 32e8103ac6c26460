//! The agent's metrics, sent to an OTLP receiver again and again.
//!
//! They are the families of `/metrics`, written once, for `prometheus-client` (`node/metrics.rs`), and read back here from
//! its text (`exposition.rs`). Its encoder for protobuf needs a compiler of .proto files where gotrace is built, and gives
//! Prometheus's messages, which would be translated all the same; a trait of our own would be in every family's way, and
//! `prometheus-client` shows what is in a histogram to its own encoders only. The text has all of it: numbers are written so
//! that they are read as what they were. What gotrace itself writes is a small part of the format, and whatever is not of
//! that is refused, not guessed at.
//!
//! All of it is cumulative, so what could not be sent is in what is sent next, and nothing waits.

mod begins;
mod counts;
mod exposition;
mod reporter;
mod request;

pub(in crate::node) use self::counts::{Counts, Failed};
pub(super) use self::reporter::Reporter;
