//! Debian's packages: installed when they bring a command, only unpacked when their files are enough.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};

use crate::cache;
use crate::exec::{self, Voice};

/// Those of `packages` that are not installed.
pub(crate) fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let installed = |name: &str| {
        exec::text(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", name]))
            .is_ok_and(|status| status == "installed")
    };
    packages.iter().copied().filter(|name| !installed(name)).collect()
}

/// Installs what is missing of `packages`, or says the command when this is not root.
pub(crate) fn install(voice: Voice, packages: &[&str]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    if !exec::is_root() {
        bail!("not root, so nothing was installed; run: {}", install_line(&missing));
    }
    refresh(voice, &missing)?;
    let mut command = apt_get();
    command.args(["install", "-y", "--no-install-recommends"]).args(&missing);
    voice.quiet(format_args!("installing {}", missing.join(", ")), &mut command)
}

/// The command that a person without root types.
pub(crate) fn install_line(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Whether the package lists offer `package`.
pub(crate) fn offers(package: &str) -> bool {
    exec::text(Command::new("apt-cache").args(["policy", package]))
        .is_ok_and(|text| text.lines().any(|line| line.contains("Candidate:") && !line.contains("(none)")))
}

/// Updates the package lists, once, when they do not offer all of `packages`.
pub(crate) fn refresh(voice: Voice, packages: &[&str]) -> Result<()> {
    if packages.iter().all(|name| offers(name)) { Ok(()) } else { update(voice) }
}

/// Updates the package lists, once.
pub(crate) fn update(voice: Voice) -> Result<()> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_some() {
        return Ok(());
    }
    if which::which("apt-get").is_err() {
        bail!("apt-get is not on this machine: install what is named above with its own package manager");
    }
    if !exec::is_root() {
        bail!("the package lists are missing or old; run: sudo apt-get update");
    }
    voice.quiet("updating the package lists", apt_get().arg("update"))?;
    DONE.get_or_init(|| ());
    Ok(())
}

/// Downloads `package` and unpacks its files into `folder`: nothing is installed, no script of it runs.
pub(crate) fn unpack(voice: Voice, package: &str, folder: &Path) -> Result<()> {
    let key = package.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.', "_");
    let downloads = cache::folder(&format!("debian/{key}"))?;
    if deb_in(&downloads).is_none() {
        refresh(voice, &[package])?;
        let download = || {
            let mut command = apt_get();
            // The folder is this user's; apt's own user could not write there.
            command.args(["-o", "APT::Sandbox::User=root", "download", package]).current_dir(&downloads);
            voice.quiet(format_args!("downloading Debian's {package}"), &mut command)
        };
        // Old lists name files that are gone.
        download().or_else(|_| update(voice).and_then(|()| download()))?;
    }
    let deb = deb_in(&downloads).with_context(|| format!("looking for the download of {package}"))?;
    let mut command = Command::new("dpkg-deb");
    command.arg("-x").arg(&deb).arg(folder);
    exec::text(&mut command).map(drop)
}

fn deb_in(folder: &Path) -> Option<std::path::PathBuf> {
    let paths = fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "deb")).max()
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // Another installation may be under way.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=600"]).env("DEBIAN_FRONTEND", "noninteractive");
    command
}
