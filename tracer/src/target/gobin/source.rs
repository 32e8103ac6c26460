//! The file's bytes: read on demand and bounded, never mapped (a mapped file that is truncated raises SIGBUS).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::BinaryError;

/// How much is read at a time when a whole segment is searched.
const CHUNK: usize = 1 << 20;

/// Larger than the largest table of the largest program: kubernetes has 60 MB of them. A file with holes can be
/// much longer than the disk that it is on.
const MOST_AT_ONCE: u64 = 256 << 20;

/// An open regular file of known length.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

impl Source {
    /// Opens a file without waiting for whatever it may be instead of a file.
    pub(super) fn open(path: &Path) -> Result<Self, BinaryError> {
        let io = |source| BinaryError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(io)?;
        Self::from_file(file, path.to_owned())
    }

    pub(super) fn from_file(file: File, path: PathBuf) -> Result<Self, BinaryError> {
        let metadata = file.metadata().map_err(|source| BinaryError::Io { path: path.clone(), source })?;
        if !metadata.is_file() {
            return Err(BinaryError::NotElf { path, found: "not a regular file" });
        }
        Ok(Self { file, path, len: metadata.len() })
    }

    /// That many bytes from there; an error when the file ends before.
    pub(super) fn bytes(&self, offset: u64, len: u64) -> Result<Vec<u8>, BinaryError> {
        let end = offset.checked_add(len);
        if end.is_none_or(|end| end > self.len) {
            return Err(self.malformed("a table that reaches beyond the end of the file"));
        }
        let len = usize::try_from(len.min(MOST_AT_ONCE + 1)).unwrap_or(usize::MAX);
        if len as u64 > MOST_AT_ONCE {
            return Err(self.malformed("a table larger than any program has"));
        }
        let mut bytes = vec![0; len];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|source| BinaryError::Io { path: self.path.clone(), source })?;
        Ok(bytes)
    }

    /// As many bytes from there as the file has, at most `len`.
    fn up_to(&self, offset: u64, len: u64) -> Result<Vec<u8>, BinaryError> {
        self.bytes(offset, len.min(self.len.saturating_sub(offset)))
    }

    /// Calls `found` with the offset of every occurrence of `needle` between the two offsets, until it gives
    /// a value.
    pub(super) fn search<T>(
        &self,
        from: u64,
        to: u64,
        needle: &[u8],
        mut found: impl FnMut(u64) -> Option<T>,
    ) -> Result<Option<T>, BinaryError> {
        let finder = memchr::memmem::Finder::new(needle);
        let overlap = needle.len().saturating_sub(1) as u64;
        let mut at = from;
        while at < to.min(self.len) {
            let chunk = self.up_to(at, (CHUNK as u64 + overlap).min(to - at))?;
            for index in finder.find_iter(&chunk) {
                if index < CHUNK
                    && let Some(value) = found(at + index as u64)
                {
                    return Ok(Some(value));
                }
            }
            at += CHUNK as u64;
        }
        Ok(None)
    }

    pub(super) fn malformed(&self, what: &'static str) -> BinaryError {
        BinaryError::Malformed { path: self.path.clone(), what }
    }

    pub(super) fn unsupported(&self, what: impl Into<String>) -> BinaryError {
        BinaryError::Unsupported { path: self.path.clone(), what: what.into() }
    }
}

/// What reading a file gives when a slice ends before the wanted number does.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

/// As [`u32_at`], of eight bytes.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

/// Keeps the io error's kind in one word for people.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; reading it takes its owner, root (sudo), or CAP_DAC_READ_SEARCH".to_owned()
        }
        _ => error.to_string(),
    }
}
