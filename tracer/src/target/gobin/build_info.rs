//! What `go build` notes in a program (cmd/go: `go version -m`; debug/buildinfo reads the same).

use schemars::JsonSchema;
use serde::Serialize;

use super::elf::{Elf, Segment};
use super::error::BinaryError;
use super::source::{Source, u64_at};
use super::version::{GoVersion, VersionSource};
use crate::units::VirtAddr;

/// What the block begins with. The linker aligns it to 16 bytes.
const MAGIC: &[u8] = b"\xff Go buildinf:";

/// The block's own size; behind it, from Go 1.18 on, come the two strings.
const HEADER: u64 = 32;

/// More than any module list that was ever seen: kubernetes has 60 KB.
const LONGEST: u64 = 1 << 20;

/// Longer than any version, with all experiments and a vendor's suffix.
const LONGEST_VERSION: u64 = 256;

/// More places that look like the block than any program has: those that read such blocks hold its first bytes
/// once or twice.
const MOST_CANDIDATES: u32 = 64;

/// What `go build` noted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BuildInfo {
    /// The import path of the package `main`.
    pub path: Option<String>,
    /// The module that holds it.
    pub main: Option<Module>,
    /// The modules that it depends on.
    pub dependencies: Vec<Module>,
    /// How it was built: `CGO_ENABLED`, `GOARCH`, `-ldflags`, the commit.
    pub settings: Vec<Setting>,
}

/// A module at a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Module {
    /// Its path.
    pub path: String,
    /// Its version; `(devel)` when built from a checkout.
    pub version: String,
}

/// One build setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl BuildInfo {
    /// The main module's path.
    #[must_use]
    pub fn main_module(&self) -> Option<&str> {
        self.main.as_ref().map(|module| module.path.as_str())
    }

    /// Whether a package is of the standard library: its path's first element has no dot (cmd/go,
    /// `IsStandardImportPath`), and no module of the program is called like it. Not when the main module is not known.
    #[must_use]
    pub fn is_standard(&self, package: &str) -> bool {
        let Some(main) = self.main_module() else { return false };
        let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
        let element = first(package);
        let is_own = std::iter::once(main)
            .chain(self.dependencies.iter().map(|module| module.path.as_str()))
            .any(|module| first(module) == element);
        !is_own && element != "main" && !element.contains('.')
    }

    /// The value of a build setting.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.key == key).map(|setting| setting.value.as_str())
    }

    /// Reads the lines of runtime/debug's `BuildInfo.String`: a word, then tab-separated fields.
    fn parse(text: &str) -> Self {
        let mut info = Self::default();
        for line in text.lines() {
            let mut fields = line.split('\t');
            let (Some(word), Some(first)) = (fields.next(), fields.next()) else { continue };
            let module = |version: Option<&str>| Module {
                path: first.to_owned(),
                version: version.unwrap_or_default().to_owned(),
            };
            match word {
                "path" => info.path = Some(first.to_owned()),
                "mod" => info.main = Some(module(fields.next())),
                "dep" => info.dependencies.push(module(fields.next())),
                // The last one is built from somewhere else than its path says.
                "=>" => {
                    if let Some(replaced) = info.dependencies.last_mut() {
                        *replaced = module(fields.next());
                    }
                }
                "build" => {
                    if let Some((key, value)) = first.split_once('=') {
                        info.settings.push(Setting { key: key.to_owned(), value: value.to_owned() });
                    }
                }
                _ => {}
            }
        }
        info
    }
}

/// Finds the block in the loaded segments: the version, and the modules when they were noted.
pub(super) fn read(
    source: &Source,
    elf: &Elf,
) -> Result<Option<(GoVersion, Option<BuildInfo>)>, BinaryError> {
    // The linker puts it into a segment of its own kind of data: writable, or read-only after relocation.
    let (data, rest): (Vec<&Segment>, Vec<&Segment>) =
        elf.segments.iter().filter(|segment| !segment.executable).partition(|segment| segment.writable);
    let mut candidates = 0;
    for segment in data.into_iter().chain(rest) {
        let end = segment.offset.saturating_add(segment.file_size);
        let found = source.search(segment.offset, end, MAGIC, |offset| {
            if !offset.is_multiple_of(16) || candidates == MOST_CANDIDATES {
                return None;
            }
            candidates += 1;
            block(source, elf, offset).ok().flatten()
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn block(
    source: &Source,
    elf: &Elf,
    offset: u64,
) -> Result<Option<(GoVersion, Option<BuildInfo>)>, BinaryError> {
    let header = source.bytes(offset, HEADER)?;
    let (pointer_size, flags) = (header[14], header[15]);
    let (version, modules) = if flags & 2 != 0 {
        let (version, next) = inline_string(source, offset + HEADER, LONGEST_VERSION)?;
        // What is damaged behind the version does not make the version wrong.
        (version, inline_string(source, next, LONGEST).map(|(modules, _)| modules).unwrap_or_default())
    } else if pointer_size == 8 && flags & 1 == 0 {
        // Before Go 1.18: two addresses of string headers.
        let string = |at, most| pointed_string(source, elf, u64_at(&header, at).unwrap_or(0), most);
        (string(16, LONGEST_VERSION)?, string(24, LONGEST).unwrap_or_default())
    } else {
        return Ok(None);
    };
    let version = String::from_utf8_lossy(&version);
    let Some(version) = GoVersion::parse(&version, VersionSource::BuildInfo) else { return Ok(None) };
    // The modules stand between two marks of 16 bytes.
    let modules = modules.get(16..modules.len().saturating_sub(16)).filter(|text| !text.is_empty());
    Ok(Some((version, modules.map(|text| BuildInfo::parse(&String::from_utf8_lossy(text))))))
}

/// A string behind its length as a varint, and where the next one begins.
fn inline_string(source: &Source, offset: u64, most: u64) -> Result<(Vec<u8>, u64), BinaryError> {
    let prefix = source.bytes(offset, 10.min(source.len.saturating_sub(offset)))?;
    let (mut len, mut used) = (0_u64, 0);
    for byte in prefix {
        len |= u64::from(byte & 0x7f) << (7 * used).min(63);
        used += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if len > most {
        return Err(source.malformed("build information of impossible length"));
    }
    let start = offset + used;
    Ok((source.bytes(start, len)?, start + len))
}

fn pointed_string(source: &Source, elf: &Elf, header: u64, most: u64) -> Result<Vec<u8>, BinaryError> {
    let header = elf.bytes(source, VirtAddr(header), 16)?;
    let (address, len) = (u64_at(&header, 0).unwrap_or(0), u64_at(&header, 8).unwrap_or(0));
    if len > most {
        return Err(source.malformed("build information of impossible length"));
    }
    elf.bytes(source, VirtAddr(address), len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_librarys_packages_are_those_without_a_dot_or_a_module() {
        let info =
            BuildInfo::parse("mod\tshop\t(devel)\t\ndep\texample.com/lib\tv1.0.0\t\ndep\tplain\tv0.1.0\t\n");
        for package in ["net/http", "runtime", "vendor/golang.org/x/sys/cpu", "shopping"] {
            assert!(info.is_standard(package), "{package}");
        }
        for package in ["main", "shop", "shop/cart", "plain/inner", "example.com/lib", "github.com/x/y"] {
            assert!(!info.is_standard(package), "{package}");
        }
        assert!(!BuildInfo::default().is_standard("net/http"));
    }

    #[test]
    fn modules_replacements_and_settings_are_read() {
        let text = "path\texample.com/app/cmd\nmod\texample.com/app\t(devel)\t\ndep\ta.org/x\tv1.2.3\th1:abc\n\
                    =>\tb.org/y\tv2.0.0\th1:def\nbuild\tCGO_ENABLED=1\nbuild\t-ldflags=\"-s -w\"\nnonsense\n";
        let info = BuildInfo::parse(text);
        assert_eq!(info.path.as_deref(), Some("example.com/app/cmd"));
        assert_eq!(info.main_module(), Some("example.com/app"));
        let dependency = Module { path: "b.org/y".to_owned(), version: "v2.0.0".to_owned() };
        assert_eq!(info.dependencies, [dependency]);
        assert_eq!(info.setting("CGO_ENABLED"), Some("1"));
        assert_eq!(info.setting("-ldflags"), Some("\"-s -w\""));
    }
}
