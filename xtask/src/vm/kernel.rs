//! Debian's kernels, unpacked and not installed: installing one writes to /boot.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fmt, fs};

use anyhow::{Context as _, Result};

use super::VOICE;
use crate::{apt, cache, exec};

/// A kernel series that gotrace is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kernel {
    /// Debian 12's own: no uprobe_multi.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 12's backport: has uprobe_multi.
    #[value(name = "6.12")]
    V6_12,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        })
    }
}

impl Kernel {
    /// Every one, the oldest first.
    pub(crate) const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    /// Makes sure that the cache has it.
    pub(crate) fn fetch(self) -> Result<()> {
        cache::once(&self.folder()?, |folder| {
            apt::refresh(VOICE, &["linux-image-cloud-amd64"])?;
            // Lists that have one series may be too old for the other.
            let package = self.package().or_else(|_| apt::update(VOICE).and_then(|()| self.package()))?;
            // The rest of a kernel package is modules, of which the guest needs one.
            let all = folder.join("all");
            apt::unpack(VOICE, &package, &all)?;
            let image = vmlinuz(&all.join("boot"))?;
            let release = image.file_name().unwrap_or_default().to_string_lossy().replace("vmlinuz-", "");
            take_module(&all.join("lib/modules").join(release).join("kernel/net/unix"), folder)?;
            fs::rename(&image, folder.join(image.file_name().unwrap_or_default()))?;
            fs::remove_dir_all(&all).with_context(|| format!("removing {}", all.display()))
        })
        .with_context(|| format!("fetching Debian's {self} kernel"))
    }

    /// The file to boot.
    pub(crate) fn image(self) -> Result<PathBuf> {
        vmlinuz(&self.folder()?)
    }

    /// The module that tells of unix sockets, which a machine loads when it is asked, and a guest when it begins.
    pub(crate) fn unix_diag(self) -> Result<PathBuf> {
        Ok(self.folder()?.join(UNIX_DIAG))
    }

    fn folder(self) -> Result<PathBuf> {
        Ok(cache::folder("kernels")?.join(format!("debian-{self}")))
    }

    /// The newest package of the series, for virtual machines: it has what QEMU emulates built in.
    fn package(self) -> Result<String> {
        let prefix = format!("linux-image-{self}.");
        let names = exec::text(Command::new("apt-cache").args(["pkgnames", &prefix]))?;
        let release = |name: &&str| {
            let numbers = name.trim_start_matches("linux-image-").split(|c: char| !c.is_ascii_digit());
            numbers.map(|number| number.parse::<u32>().unwrap_or(0)).collect::<Vec<_>>()
        };
        names
            .lines()
            .filter(|name| name.ends_with("-cloud-amd64") && apt::offers(name))
            .max_by_key(release)
            .map(str::to_owned)
            .with_context(|| {
                format!("the package lists have no {prefix}*-cloud-amd64; this needs Debian 12's, with its security updates")
            })
    }
}

/// The module's file.
const UNIX_DIAG: &str = "unix_diag.ko";

/// Takes the module out of its folder in a kernel's package, where it may be compressed.
fn take_module(from: &Path, into: &Path) -> Result<()> {
    let compressed = from.join(format!("{UNIX_DIAG}.xz"));
    if compressed.exists() {
        exec::text(Command::new("xz").arg("--decompress").arg(&compressed))?;
    }
    fs::rename(from.join(UNIX_DIAG), into.join(UNIX_DIAG))
        .with_context(|| format!("looking for {UNIX_DIAG} in {}", from.display()))
}

fn vmlinuz(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
        .with_context(|| format!("{} has no kernel", folder.display()))
}
