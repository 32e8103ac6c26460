//! The guest's files, as the archive that a kernel unpacks at boot (cpio's `newc` format, see the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::exec;

const DIRECTORY: u32 = 0o040_755;
const REGULAR: u32 = 0o100_000;

/// What goes into the archive, by the path it gets there.
pub(crate) struct Image {
    files: BTreeMap<String, Entry>,
}

struct Entry {
    content: Content,
    mode: u32,
}

enum Content {
    Host(PathBuf),
    Text(String),
}

impl Image {
    pub(crate) fn new() -> Self {
        Self { files: BTreeMap::new() }
    }

    /// A small file of the guest's own.
    pub(crate) fn text(&mut self, to: &str, text: &str, mode: u32) {
        self.files.insert(to.to_owned(), Entry { content: Content::Text(text.to_owned()), mode });
    }

    /// A copy of a file.
    pub(crate) fn file(&mut self, from: &Path, to: &str) -> Result<()> {
        let from = fs::canonicalize(from).with_context(|| format!("finding {}", from.display()))?;
        self.files.insert(to.to_owned(), Entry { content: Content::Host(from), mode: 0o755 });
        Ok(())
    }

    /// A copy of a program, and of every library that the loader would load for it.
    pub(crate) fn program(&mut self, from: &Path, to: &str) -> Result<()> {
        self.file(from, to)?;
        // ldd fails on a static program, which needs nothing.
        let libraries = exec::text(Command::new("ldd").arg(from)).unwrap_or_default();
        // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f…)" and "/lib64/ld-linux-x86-64.so.2 (0x7f…)".
        let paths =
            libraries.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
        for path in paths {
            self.file(Path::new(path), path)?;
        }
        Ok(())
    }

    /// Writes the archive.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let write = || -> io::Result<()> {
            let mut archive = Archive { out: BufWriter::new(fs::File::create(path)?), number: 0 };
            let mut folders = BTreeSet::new();
            for name in self.files.keys() {
                folders.extend(
                    name.match_indices('/').map(|(end, _)| &name[..end]).filter(|name| !name.is_empty()),
                );
            }
            for folder in folders {
                archive.entry(folder, DIRECTORY, &[])?;
            }
            for (name, entry) in &self.files {
                let mode = REGULAR | entry.mode;
                match &entry.content {
                    Content::Text(text) => archive.entry(name, mode, text.as_bytes())?,
                    Content::Host(path) => archive.entry(name, mode, &fs::read(path)?)?,
                }
            }
            archive.entry("TRAILER!!!", 0, &[])?;
            archive.out.flush()
        };
        write().with_context(|| format!("writing the guest's files to {}", path.display()))
    }
}

struct Archive<W> {
    out: W,
    number: u32,
}

impl<W: Write> Archive<W> {
    fn entry(&mut self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let name = name.trim_start_matches('/');
        let size =
            u32::try_from(bytes.len()).map_err(|_| io::Error::other(format!("{name} is too large")))?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        self.number += 1;
        // inode, mode, uid, gid, links, mtime, size, device and rdevice (major, minor), name's size, checksum
        let fields = [self.number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        write!(self.out, "070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(name.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(110 + name.len() + 1)?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len())
    }

    /// Everything begins at a multiple of four.
    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..length.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn entries_begin_at_multiples_of_four() {
        let mut archive = Archive { out: Vec::new(), number: 0 };
        archive.entry("/a", 0o100_644, b"hello").unwrap();
        let first = archive.out.len();
        archive.entry("TRAILER!!!", 0, &[]).unwrap();
        assert_eq!(first, 112 + 8);
        assert_eq!(&archive.out[..14], b"07070100000001");
        assert_eq!(&archive.out[54..62], b"00000005");
        assert_eq!(&archive.out[110..118], b"a\0hello\0");
        assert_eq!(archive.out.len() % 4, 0);
    }
}
