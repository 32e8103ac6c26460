//! Whose work is in the binary, and under which terms.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{build, exec};

/// What is linked and is no crate.
const HEAD: &str = "gotrace is MIT or Apache-2.0, at your choice; the BPF object in it also GPL-2.0.
It contains the crates below, Rust's standard library (MIT or Apache-2.0) and the GNU C library (LGPL-2.1 or later), linked
statically; gotrace's source, with which it can be linked to another version of that, is public.
";

/// Every crate that the binary for `target` is made of, with its licence and the texts that come with it.
pub(super) fn text(target: &str) -> Result<String> {
    let tree = exec::text(exec::cargo().args([
        "tree",
        "--package",
        "tracer",
        build::FEATURES[0],
        build::FEATURES[1],
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--target",
        target,
    ]))?;
    let metadata = exec::text(exec::cargo().args(["metadata", "--format-version=1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("reading cargo's metadata")?;
    let packages = metadata["packages"].as_array().context("cargo's metadata has no packages")?;
    let mut crates = BTreeMap::new();
    for package in packages {
        let word = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        crates.insert(
            format!("{} v{}", word("name"), word("version")),
            (word("license"), word("manifest_path")),
        );
    }
    let mut found = BTreeMap::new();
    for line in tree.lines() {
        let name = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        if let Some((licence, manifest)) = crates.get(&name).filter(|_| !line.contains(" (/")) {
            ensure!(!licence.is_empty(), "{name} names no licence");
            found.insert(name, (licence, manifest));
        }
    }
    ensure!(!found.is_empty(), "cargo tree names no crate");
    let mut out = HEAD.to_owned();
    for (name, (licence, _)) in &found {
        write!(out, "\n{name}: {licence}")?;
    }
    out.push('\n');
    for (name, (_, manifest)) in &found {
        for (file, text) in texts(Path::new(manifest))? {
            write!(out, "\n==== {name}, {file}\n\n{}\n", text.trim_end())?;
        }
    }
    Ok(out)
}

/// The licences, copyrights and notices that lie beside a crate's manifest.
fn texts(manifest: &Path) -> Result<BTreeMap<String, String>> {
    let folder = manifest.parent().context("a manifest lies in a folder")?;
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let upper = name.to_uppercase();
        let is_one = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"]
            .iter()
            .any(|word| upper.starts_with(word));
        if is_one && entry.file_type()?.is_file() {
            let bytes =
                fs::read(entry.path()).with_context(|| format!("reading {}", entry.path().display()))?;
            found.insert(name, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_crate_has_its_terms_and_gotrace_itself_is_none_of_them() {
        let text = super::text(super::super::TARGET).unwrap();
        assert!(text.contains("\naya v0.14.0: MIT OR Apache-2.0\n"), "{}", &text[..2000]);
        assert!(text.contains("==== aya v0.14.0, LICENSE-MIT\n"));
        assert!(!text.contains("\ntracer v"));
    }
}
