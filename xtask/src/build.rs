//! `cargo xtask build`: the release build, with the set-up that it needs.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::bpf_toolchain::survey;
use crate::exec::{self, Voice};
use crate::setup;

const VOICE: Voice = Voice("build");

/// What is built beyond the least: for people, and so for the tests.
pub(crate) const FEATURES: [&str; 2] = ["--features", "tracer/otlp"];

/// Builds the release command, and gives its path.
pub(crate) fn run() -> Result<PathBuf> {
    if survey().complete().is_none() {
        setup::ensure()?;
    }
    let mut cargo = exec::cargo();
    VOICE
        .run("building gotrace", cargo.args(["build", "--release", "--package", "tracer"]).args(FEATURES))?;
    let path = target_folder()?.join("release/gotrace");
    if !path.is_file() {
        bail!("cargo built no {}", path.display());
    }
    VOICE.say(format_args!("built {}", path.display()));
    Ok(path)
}

/// The command to test: `$GOTRACE_BIN`, or else a fresh release build.
pub(crate) fn gotrace() -> Result<PathBuf> {
    match env::var_os("GOTRACE_BIN").filter(|path| !path.is_empty()) {
        Some(path) => {
            std::path::absolute(&path).with_context(|| format!("finding {}", PathBuf::from(&path).display()))
        }
        None => run(),
    }
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> Result<PathBuf> {
    metadata()?["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("cargo's metadata has no target folder")
}

/// What cargo knows of the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let text = exec::text(exec::cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]))?;
    serde_json::from_str(&text).context("reading cargo's metadata")
}
