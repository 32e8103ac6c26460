//! Which toolchain can compile the kernel side: looked for, never installed.
//!
//! Shared, by `#[path]`, between `tracer/build.rs` (which uses what is there) and `cargo xtask setup` (which
//! installs what is not), so the two cannot disagree.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Names the toolchain to use in place of the search: a rustup toolchain, or `system` for the distribution's.
pub(crate) const OVERRIDE: &str = "GOTRACE_BPF_TOOLCHAIN";

/// The release of bpf-linker that this workspace is built and tested with.
#[expect(clippy::allow_attributes, reason = "only one of the two that include this file has a use for it")]
#[allow(dead_code, reason = "used by the set-up only")]
pub(crate) const LINKER_VERSION: &str = "0.10.3";

/// `rust-version` of the workspace, which the kernel side's compiler must reach too.
pub(crate) const OLDEST_RUST: (u32, u32) = (1, 95);

const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// A compiler with its own library's sources, which `-Z build-std=core` compiles for the BPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// The ordinary road: a rustup toolchain with the component `rust-src`.
    Rustup { toolchain: String, sysroot: PathBuf },
    /// The Debian road: the distribution's compiler and sources (rustc-web and rust-web-src), unlocked by
    /// `RUSTC_BOOTSTRAP=1`, with the cargo that is already here.
    System { rustc: PathBuf, sysroot: PathBuf },
}

/// What a look at this machine found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// The best compiler, or none.
    pub(crate) compiler: Option<Compiler>,
    /// bpf-linker.
    pub(crate) linker: Option<PathBuf>,
    /// rustup, which an ordinary machine has and a distribution-only one has not.
    pub(crate) rustup: Option<PathBuf>,
    /// Why each compiler that was looked at will not do, for people.
    pub(crate) refused: Vec<String>,
}

impl Survey {
    /// The compiler and the linker, when both are there.
    pub(crate) fn complete(&self) -> Option<(&Compiler, &Path)> {
        Some((self.compiler.as_ref()?, self.linker.as_deref()?))
    }

    /// Existing paths whose change may change the answer: the parts found, or where the missing ones would appear.
    /// (Cargo takes a path that does not exist for one that always changed.)
    #[expect(
        clippy::allow_attributes,
        reason = "only one of the two that include this file has a use for it"
    )]
    #[allow(dead_code, reason = "used by the build script only")]
    pub(crate) fn watched(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        match &self.compiler {
            Some(Compiler::Rustup { sysroot, .. }) => {
                paths.extend([sysroot.join("bin/rustc"), sources(sysroot)]);
            }
            Some(Compiler::System { rustc, sysroot }) => paths.extend([rustc.clone(), sources(sysroot)]),
            None => {
                paths.push("/var/lib/dpkg/status".into());
                if let Some(home) = rustup_home() {
                    paths.push(home.join("update-hashes"));
                }
                if let Some(sysroot) = rustup_sysroot("nightly") {
                    paths.push(sysroot.join("lib/rustlib/components"));
                }
            }
        }
        match &self.linker {
            Some(linker) => paths.push(linker.clone()),
            None => paths.extend(cargo_bin()),
        }
        paths.retain(|path| path.exists());
        paths
    }
}

/// Looks for a compiler and bpf-linker.
pub(crate) fn survey() -> Survey {
    let mut survey = Survey { linker: program("bpf-linker"), rustup: program("rustup"), ..Survey::default() };
    let wanted = env::var(OVERRIDE).ok().filter(|name| !name.is_empty());
    let name = match wanted.as_deref() {
        Some("system") => None,
        Some(name) => Some(name),
        None => Some("nightly"),
    };
    if let Some(name) = name {
        match rustup_compiler(name, survey.rustup.as_deref()) {
            Ok(compiler) => {
                survey.compiler = Some(compiler);
                return survey;
            }
            Err(why) => survey.refused.push(why),
        }
    }
    if matches!(wanted.as_deref(), None | Some("system")) {
        match system_compiler() {
            Ok(compiler) => survey.compiler = Some(compiler),
            Err(why) => survey.refused.push(why),
        }
    }
    survey
}

/// A program on `PATH`, or in cargo's own folder, which a shell that never ran rustup's set-up does not look in.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    which::which(name).ok().or_else(|| Some(cargo_bin()?.join(name)).filter(|path| path.is_file()))
}

/// Where `cargo install` puts what it installs.
pub(crate) fn cargo_bin() -> Option<PathBuf> {
    Some(home("CARGO_HOME", ".cargo")?.join("bin"))
}

/// The folder of a rustup toolchain.
pub(crate) fn rustup_sysroot(name: &str) -> Option<PathBuf> {
    let toolchains = rustup_home()?.join("toolchains");
    let linked = toolchains.join(name);
    if linked.is_dir() {
        return Some(linked);
    }
    // `nightly` is the folder nightly-x86_64-unknown-linux-gnu; nightly-2026-01-01-x86_64-… is another toolchain.
    let prefix = format!("{name}-{}-", env::consts::ARCH);
    let entries = fs::read_dir(toolchains).ok()?;
    entries
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
}

fn rustup_compiler(name: &str, rustup: Option<&Path>) -> Result<Compiler, String> {
    rustup.ok_or_else(|| "rustup is not installed".to_owned())?;
    let sysroot = rustup_sysroot(name).ok_or_else(|| format!("rustup has no toolchain named `{name}`"))?;
    if !sources(&sysroot).is_file() {
        return Err(format!("rustup's toolchain `{name}` lacks the component rust-src"));
    }
    new_enough(&sysroot.join("bin/rustc"))?;
    Ok(Compiler::Rustup { toolchain: name.to_owned(), sysroot })
}

fn system_compiler() -> Result<Compiler, String> {
    let rustc = PathBuf::from(SYSTEM_RUSTC);
    let sysroot = PathBuf::from("/usr");
    if !rustc.is_file() {
        return Err(format!("the distribution's compiler ({SYSTEM_RUSTC}) is not installed"));
    }
    if !sources(&sysroot).is_file() {
        return Err(format!("{SYSTEM_RUSTC} lacks its library's sources"));
    }
    new_enough(&rustc)?;
    Ok(Compiler::System { rustc, sysroot })
}

/// A file of the library's sources that any release of Rust has.
fn sources(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml")
}

fn new_enough(rustc: &Path) -> Result<(), String> {
    let output = Command::new(rustc)
        .arg("-V")
        .output()
        .map_err(|error| format!("{} does not start: {error}", rustc.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST_RUST => Ok(()),
        _ => Err(format!(
            "{} is {}, older than {}.{}",
            rustc.display(),
            if version.is_empty() { "of no known version" } else { version },
            OLDEST_RUST.0,
            OLDEST_RUST.1
        )),
    }
}

fn rustup_home() -> Option<PathBuf> {
    home("RUSTUP_HOME", ".rustup")
}

fn home(variable: &str, folder: &str) -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value: &OsString| !value.is_empty());
    set(variable).map(PathBuf::from).or_else(|| Some(PathBuf::from(set("HOME")?).join(folder)))
}
