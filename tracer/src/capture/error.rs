//! What is wrong with a capture.

use std::io;

use thiserror::Error;

use super::{MOST_RECORD, VERSION};

/// Why a capture cannot be read or written.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// Another kind of file.
    #[error("is no capture of gotrace")]
    NotACapture,
    /// Nothing behind its header.
    #[error("is a capture in which nothing is: gotrace was killed before anything came")]
    Empty,
    /// From a later gotrace.
    #[error("is a capture of format {version}; this gotrace reads formats up to {VERSION}: use a newer one")]
    Newer {
        /// The format's version.
        version: u32,
    },
    /// The bytes are not those that were written.
    #[error("is damaged at byte {at}: {what}")]
    Damaged {
        /// Where in the file the block begins that is.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// More than gotrace puts into a capture.
    #[error("holds more {what} than gotrace writes into a capture")]
    TooMuch {
        /// Of what.
        what: &'static str,
    },
    /// A record that nobody could read again.
    #[error("a record of {length} bytes does not fit into a capture, which takes {MOST_RECORD}")]
    TooLarge {
        /// How long it is.
        length: usize,
    },
    /// What is to be recorded cannot be written as JSON.
    #[error("a record cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}
