//! What can be wrong with a binary, for people.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::source::reason;

/// A file that gotrace cannot take for a Go program.
#[derive(Debug, Error)]
pub enum BinaryError {
    /// It cannot be opened or read.
    #[error("cannot read {}: {}", path.display(), reason(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no ELF file.
    #[error("{} is no ELF program: {found}", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// It is an ELF file of a kind that gotrace does not read.
    #[error("{} is {found}; gotrace reads 64-bit x86-64 and arm64 programs", path.display())]
    ForeignElf {
        /// The file.
        path: PathBuf,
        /// Which kind.
        found: String,
    },
    /// It is an ELF program without the tables that Go's linker writes.
    #[error("{} is not a Go program: it has no Go function table (pclntab)", path.display())]
    NotGo {
        /// The file.
        path: PathBuf,
    },
    /// It was built by a Go that wrote other tables.
    #[error("{} was built by {version}; gotrace knows Go 1.19 to 1.27", path.display())]
    TooOld {
        /// The file.
        path: PathBuf,
        /// The Go version, as far as it is known.
        version: String,
    },
    /// Its tables contradict themselves: damaged, or made to confuse.
    #[error("{} is damaged: it has {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// It is a Go program, and something about it is not known to gotrace.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What.
        what: String,
    },
}
