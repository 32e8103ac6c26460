//! Compiles the kernel side and leaves it in `OUT_DIR/tracer-ebpf`, with `cfg(bpf_object)` to say that it is there.
//!
//! Without a BPF toolchain gotrace is compiled all the same, so that everything pure can be built and tested
//! anywhere; the command then says that it was built without its probes, and how to change that.

#[path = "build/toolchain.rs"]
mod toolchain;

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain, build_ebpf};

use crate::toolchain::{Compiler, OVERRIDE, survey};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // The compiler's own words are above; a stack trace of this script would bury them.
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    println!("cargo::rustc-check-cfg=cfg(bpf_object)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    for variable in [OVERRIDE, "RUSTUP_HOME", "CARGO_HOME", "AYA_BUILD_SKIP"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if env::var("AYA_BUILD_SKIP").is_ok_and(|value| value == "1" || value.eq_ignore_ascii_case("true")) {
        return Ok(());
    }

    let survey = survey();
    for path in survey.watched() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let Some((compiler, linker)) = survey.complete() else {
        println!("cargo::rerun-if-env-changed=PATH");
        println!("cargo::warning=no BPF toolchain: gotrace is built without its probes and cannot trace");
        if survey.compiler.is_none() {
            for why in &survey.refused {
                println!("cargo::warning=  {why}");
            }
        }
        if survey.linker.is_none() {
            println!("cargo::warning=  bpf-linker is not installed");
        }
        println!("cargo::warning=to install what is missing: cargo xtask setup");
        return Ok(());
    };

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let toolchain = match compiler {
        Compiler::Rustup { toolchain, .. } => toolchain.clone(),
        Compiler::System { rustc, .. } => {
            set("RUSTC_BOOTSTRAP", "1");
            // Without rustup, aya-build runs whatever cargo and rustc are at hand; with it, it wants a toolchain.
            set("CARGO_BUILD_RUSTC", rustc);
            system_toolchain(rustc, &out_dir)?
        }
    };
    extend_path(linker)?;
    // What the compiler has to say arrives as messages; "Compiling core" as twenty warnings would help nobody.
    set("CARGO_TERM_QUIET", "true");
    build_ebpf(
        [Package { name: "tracer-ebpf", root_dir: "../tracer-ebpf", ..Package::default() }],
        Toolchain::Custom(&toolchain),
    )
    .context("compiling the kernel side (tracer-ebpf); its messages are above")?;
    println!("cargo::rustc-cfg=bpf_object");
    Ok(())
}

/// Dresses the distribution's compiler as a rustup toolchain, in the build folder, so that nothing has to be
/// registered with rustup: `rustup run` takes a path.
///
/// It gets the libraries of the toolchain that runs this build, because bpf-linker loads that LLVM, and panics when
/// it finds none; the compiler itself finds its own in the system's folders.
fn system_toolchain(rustc: &Path, out_dir: &Path) -> Result<String> {
    let cargo = PathBuf::from(env::var_os("CARGO").context("cargo sets CARGO")?);
    let folder = out_dir.join("system-toolchain");
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("creating {}", bin.display()))?;
    link(rustc, &bin.join("rustc"))?;
    link(&cargo, &bin.join("cargo"))?;
    if let Some(sysroot) = cargo.parent().and_then(Path::parent) {
        link(&sysroot.join("lib"), &folder.join("lib"))?;
    }
    folder.into_os_string().into_string().ok().context("the path of the build folder is not UTF-8")
}

fn link(target: &Path, name: &Path) -> Result<()> {
    match fs::remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(target, name),
    }
    .with_context(|| format!("linking {} to {}", name.display(), target.display()))
}

/// rustc looks for bpf-linker on `PATH` only.
fn extend_path(linker: &Path) -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folder = linker.parent().context("bpf-linker lies in a folder")?;
    let folders = env::split_paths(&path).chain([folder.to_owned()]);
    set("PATH", env::join_paths(folders).context("extending PATH")?);
    Ok(())
}

fn set(name: &str, value: impl Into<OsString>) {
    // SAFETY: a build script's main thread, before it starts any other.
    unsafe { env::set_var(name, value.into()) };
}
