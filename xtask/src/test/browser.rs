//! The browser, and what is opened in it beside gotrace's own pages.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::VOICE;
use crate::{apt, cache, fixtures};

/// The profile viewer whose own reader the tests open profiles with, as the npm registry has it.
const SPEEDSCOPE: &str = "speedscope@1.25.0";

/// What the tests are told: where Chromium is, and the pages of speedscope.
pub(super) fn variables() -> Result<[(&'static str, PathBuf); 2]> {
    Ok([("GOTRACE_CHROMIUM", chromium()?), ("GOTRACE_SPEEDSCOPE", speedscope()?)])
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

fn speedscope() -> Result<PathBuf> {
    let release = "package/dist/release";
    let folder = cache::folder("npm")?.join(SPEEDSCOPE.replace('@', "-"));
    cache::once(&folder, |folder| fixtures::npm(SPEEDSCOPE, release, folder))?;
    Ok(folder.join(release))
}
