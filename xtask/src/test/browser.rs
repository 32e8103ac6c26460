//! The browser, and what is opened in it beside gotrace's own pages.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::VOICE;
use crate::{apt, cache, fixtures};

/// The profile viewer whose own reader the tests open profiles with, as the npm registry has it.
const SPEEDSCOPE: &str = "speedscope@1.25.0";

/// The reader of trace events in Chrome's DevTools, as their maintainers publish it for other tools.
const TRACE_ENGINE: &str = "@paulirish/trace_engine@0.0.65";

/// What the tests are told: where Chromium is, the pages of speedscope, and the engine of DevTools.
pub(super) fn variables() -> Result<[(&'static str, PathBuf); 3]> {
    let speedscope = package(SPEEDSCOPE, "package/dist/release")?;
    let engine = package(TRACE_ENGINE, "package")?;
    Ok([
        ("GOTRACE_CHROMIUM", chromium()?),
        ("GOTRACE_SPEEDSCOPE", speedscope),
        ("GOTRACE_TRACE_ENGINE", engine),
    ])
}

fn chromium() -> Result<PathBuf> {
    let find = || {
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(|name| which::which(name).ok())
    };
    if find().is_none() {
        // A page without a single font shows nothing.
        apt::install(VOICE, &["chromium", "fonts-dejavu-core"])?;
    }
    find().context("looking for chromium")
}

/// The part of a package of npm's that is wanted.
fn package(name: &str, part: &str) -> Result<PathBuf> {
    let folder = cache::folder("npm")?.join(name.replace(['@', '/'], "-"));
    cache::once(&folder, |folder| fixtures::npm(name, part, folder))?;
    Ok(folder.join(part))
}
