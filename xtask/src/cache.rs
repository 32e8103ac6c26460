//! Where downloads and built fixtures are kept: `$GOTRACE_CACHE`, else the user's cache folder.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result};

/// The cache's own folder.
pub(crate) fn root() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("GOTRACE_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("gotrace")))
        .or_else(|| Some(set("HOME")?.join(".cache/gotrace")))
        .context("none of GOTRACE_CACHE, XDG_CACHE_HOME and HOME is set")
}

/// A folder of the cache, which is there afterwards.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let path = root()?.join(name);
    fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    Ok(path)
}

/// Makes `path` by filling a folder beside it, which takes its name only when it is complete.
pub(crate) fn once(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = PathBuf::from(partial);
    fs::create_dir_all(&partial).with_context(|| format!("creating {}", partial.display()))?;
    let filled = fill(&partial)
        .and_then(|()| fs::rename(&partial, path).with_context(|| format!("naming {}", path.display())));
    if filled.is_err() {
        // The error that matters is the one above.
        drop(fs::remove_dir_all(&partial));
    }
    filled
}

/// A short name for what something was made from.
pub(crate) fn key(parts: &[&[u8]]) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
