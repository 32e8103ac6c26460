//! `cargo xtask setup`: finds or installs what the build needs.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::apt;
use crate::bpf_toolchain::{Compiler, LINKER_VERSION, OVERRIDE, Survey, rustup_sysroot, survey};
use crate::exec::{self, Voice, is_root};

const VOICE: Voice = Voice("setup");

/// Finds or installs what the build needs: a compiler for the kernel side, and bpf-linker.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only report; exit code 0 when all is there, 1 when not
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.check {
        let survey = survey();
        report(&survey);
        return Ok(if survey.complete().is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    ensure()?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the machine fit to build gotrace with its probes.
pub(crate) fn ensure() -> Result<()> {
    let mut found = survey();
    if found.compiler.is_none() && std::env::var_os(OVERRIDE).is_none_or(|name| name == "nightly") {
        ordinary_road(&found);
        found = survey();
    }
    let mut to_type = Vec::new();
    if found.compiler.is_none() {
        to_type.extend(debian_road(&found)?);
    }
    if found.linker.is_none() {
        // cargo has no way to install it for everyone, so this needs no root.
        let mut install = exec::cargo();
        install.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked"]);
        VOICE.quiet("installing bpf-linker, in two to three minutes", &mut install)?;
    }
    let found = survey();
    report(&found);
    if found.complete().is_some() {
        return Ok(());
    }
    if to_type.is_empty() {
        bail!("the toolchain is still not complete; what is missing is listed above");
    }
    bail!(
        "not root, so it was not installed; run this, then `cargo xtask setup` again:\n  {}",
        to_type.join("\n  ")
    );
}

/// rustup's nightly with rust-src: no root needed, but it must be able to download the component.
fn ordinary_road(found: &Survey) {
    let Some(rustup) = &found.rustup else { return };
    // Where rustup cannot download, it may wait for long before it says so.
    let mut command = Command::new("timeout");
    command.arg("600").arg(rustup);
    let what = if rustup_sysroot("nightly").is_some() {
        command.args(["component", "add", "rust-src", "--toolchain", "nightly"]);
        "adding the library's sources to rustup's nightly"
    } else {
        command.args(["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"]);
        "installing rustup's nightly with the library's sources"
    };
    if let Err(error) = VOICE.quiet(what, &mut command) {
        VOICE.say(format_args!("{error:#}; trying the distribution's compiler instead"));
    }
}

/// Debian's own compiler and sources. Gives back the commands to type when this is not root.
fn debian_road(found: &Survey) -> Result<Vec<String>> {
    if which::which("apt-get").is_err() {
        bail!(
            "no compiler for the kernel side, and no apt-get to install Debian's; {}\nwith rustup: {}",
            found.refused.join("; "),
            "rustup toolchain install nightly --component rust-src"
        );
    }
    if is_root() {
        apt::refresh(VOICE, &["rustc-web"]).context("looking for Debian's compiler")?;
    }
    // Stable Debian carries its current compiler under this name, for its browsers; later releases as `rustc`.
    let packages =
        if apt::offers("rustc-web") { ["rustc-web", "rust-web-src"] } else { ["rustc", "rust-src"] };
    if is_root() {
        apt::install(VOICE, &packages)?;
        return Ok(Vec::new());
    }
    Ok(vec![apt::install_line(&packages)])
}

fn report(found: &Survey) {
    match &found.compiler {
        Some(Compiler::Rustup { toolchain, sysroot }) => VOICE.say(format_args!(
            "compiler: rustup's `{toolchain}` with rust-src, the ordinary road ({})",
            sysroot.display()
        )),
        Some(Compiler::System { rustc, .. }) => VOICE.say(format_args!(
            "compiler: the distribution's, {} with its library's sources, the Debian road",
            rustc.display()
        )),
        None => VOICE.say("compiler: MISSING"),
    }
    for why in &found.refused {
        VOICE.say(format_args!("  because {why}"));
    }
    match &found.linker {
        Some(linker) => {
            let version = exec::text(Command::new(linker).arg("--version")).unwrap_or_default();
            let version = version.trim().trim_start_matches("bpf-linker ");
            VOICE.say(format_args!("linker: bpf-linker {version} ({})", linker.display()));
            if version != LINKER_VERSION {
                VOICE.say(format_args!("  gotrace is tested with {LINKER_VERSION}; others usually do"));
            }
        }
        None => VOICE.say("linker: bpf-linker is MISSING"),
    }
    VOICE.say(if found.complete().is_some() {
        "fit: `cargo build --release` builds gotrace with its probes"
    } else {
        "not fit: `cargo build --release` would build gotrace without its probes; `cargo xtask setup` installs them"
    });
}
