//! Cargo's own add-ons, in pinned releases, kept in the cache so that nobody's other copies are touched.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::cache;
use crate::exec::{self, Voice};

/// `cargo deny`: licences, duplicate crates, where crates come from, known advisories.
pub(crate) const DENY: Tool =
    Tool { name: "cargo-deny", version: "0.20.2", flags: &["--no-default-features"] };

/// `cargo fuzz`: coverage-guided fuzzing.
pub(crate) const FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2", flags: &[] };

/// A crate that is a program.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    flags: &'static [&'static str],
}

impl Tool {
    /// The program, installed when the cache has none of that release.
    pub(crate) fn fetch(&self, voice: Voice) -> Result<PathBuf> {
        let Self { name, version, flags } = self;
        let root = cache::folder("tools")?.join(format!("{name}-{version}"));
        cache::once(&root, |folder| {
            let mut install = exec::cargo();
            install.args(["install", name, "--version", version, "--locked"]).args(*flags);
            // Unoptimized, each does its work in seconds, and is there in half the time.
            install.args(["--profile", "dev"]).env("CARGO_PROFILE_DEV_DEBUG", "0").arg("--root").arg(folder);
            voice.quiet(format_args!("installing {name}, in a few minutes"), &mut install)
        })
        .with_context(|| format!("installing {name} {version}"))?;
        Ok(root.join("bin").join(name))
    }
}
