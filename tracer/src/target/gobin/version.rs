//! The Go version that built a program.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// A Go version, such as `go1.26.5` or `go1.24.3 X:nocoverageredesign`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GoVersion {
    raw: String,
    major: u32,
    minor: u32,
    patch: Option<u32>,
    /// Where it was read from.
    pub source: VersionSource,
}

/// Where a version was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionSource {
    /// The build information that `go version -m` shows.
    BuildInfo,
    /// The runtime's own variable `runtime.buildVersion`.
    BuildVersion,
}

impl GoVersion {
    /// Stands in until the version has been found.
    pub(super) fn unknown() -> Self {
        Self { raw: String::new(), major: 0, minor: 0, patch: None, source: VersionSource::BuildVersion }
    }

    /// Parses what the linker wrote. Development versions name the release that they lead to:
    /// `devel go1.28-abcdef`.
    #[must_use]
    pub fn parse(raw: &str, source: VersionSource) -> Option<Self> {
        let from = raw.find("go1.")?;
        if from != 0 && !raw.starts_with("devel ") {
            return None;
        }
        let rest = &raw[from + 2..];
        let (major, rest) = number(rest)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        // Behind it comes a patch, `rc1`, `beta1`, a commit, experiments or a vendor's suffix, and no digit
        // glued to it that would make it another number.
        let plausible = rest.is_empty() || rest.starts_with(['.', 'r', 'b', '-', ' ', '+']);
        let patch = match rest.strip_prefix('.') {
            Some(patch) => number(patch).map(|(patch, _)| patch),
            None => (from == 0 && (rest.is_empty() || rest.starts_with([' ', '-', '+']))).then_some(0),
        };
        (plausible && raw.len() <= 256 && raw.bytes().all(|byte| (0x20..0x7f).contains(&byte)))
            .then(|| Self { raw: raw.to_owned(), major, minor, patch, source })
    }

    /// As the linker wrote it.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// 26, of `go1.26.5`.
    #[must_use]
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// 5, of `go1.26.5`, and 0 of `go1.26`; none of what was not released, a candidate or a development version.
    #[must_use]
    pub fn patch(&self) -> Option<u32> {
        self.patch
    }

    /// Whether experiments changed the runtime's layouts: ` X:…` behind the number, from Go 1.26 on `-X:…`.
    #[must_use]
    pub fn experiments(&self) -> Option<&str> {
        [" X:", "-X:"].iter().find_map(|mark| self.raw.split_once(mark)).map(|(_, experiments)| experiments)
    }
}

impl fmt::Display for GoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.raw)
    }
}

fn number(text: &str) -> Option<(u32, &str)> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..len].parse().ok()?, &text[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minor(raw: &str) -> Option<u32> {
        GoVersion::parse(raw, VersionSource::BuildInfo).map(|version| version.minor())
    }

    #[test]
    fn releases_candidates_and_development_versions_are_read() {
        assert_eq!(minor("go1.26.5"), Some(26));
        assert_eq!(minor("go1.27"), Some(27));
        assert_eq!(minor("go1.21rc2"), Some(21));
        assert_eq!(minor("devel go1.28-0123abc Mon Jan 1"), Some(28));
        assert_eq!(minor("go1.24.3 X:boringcrypto"), Some(24));
        assert_eq!(minor("go1.23.4-fips+vendor"), Some(23));
    }

    #[test]
    fn releases_have_a_patch() {
        let patch =
            |raw: &str| GoVersion::parse(raw, VersionSource::BuildInfo).and_then(|version| version.patch());
        assert_eq!(patch("go1.23.4"), Some(4));
        assert_eq!(patch("go1.23.4-fips+vendor"), Some(4));
        assert_eq!(patch("go1.24.3 X:boringcrypto"), Some(3));
        assert_eq!(patch("go1.27"), Some(0));
        assert_eq!(patch("go1.27-X:arenas"), Some(0));
        for unreleased in ["go1.21rc2", "go1.22beta1", "devel go1.28-0123abc Mon Jan 1"] {
            assert_eq!(patch(unreleased), None, "{unreleased}");
        }
    }

    #[test]
    fn experiments_are_seen_however_the_linker_writes_them() {
        let of = |raw: &str| {
            let version = GoVersion::parse(raw, VersionSource::BuildInfo).expect("a version");
            version.experiments().map(ToOwned::to_owned)
        };
        assert_eq!(of("go1.24.3 X:boringcrypto"), Some("boringcrypto".to_owned()));
        assert_eq!(of("go1.26.6-X:arenas,simd"), Some("arenas,simd".to_owned()));
        assert_eq!(of("go1.23.4-fips+vendor"), None);
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for raw in ["", "go", "go1.", "go2.1", "xgo1.21", "go1.21xyz", "go1.99999999999", "go1.21\n"] {
            assert_eq!(minor(raw), None, "{raw:?}");
        }
    }
}
