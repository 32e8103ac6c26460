//! `cargo xtask dist`: what is given to people: one static binary, and what belongs to it.

mod licences;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::bpf_toolchain::survey;
use crate::exec::{self, Voice};
use crate::{build, setup};

const VOICE: Voice = Voice("dist");

/// glibc, linked statically: Rust's own releases of the standard library for musl are not everywhere to be had.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const STATIC: &str = "target.x86_64-unknown-linux-gnu.rustflags=[\"-Ctarget-feature=+crt-static\"]";

/// What lies beside the binary, from the source tree.
const FILES: [&str; 5] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "CHANGELOG.md", "deploy"];

/// Builds and packs, and gives the folder's path.
pub(crate) fn run() -> Result<PathBuf> {
    let binary = build()?;
    alone(&binary)?;
    let name = format!("gotrace-{}-x86_64-linux", version()?);
    let target = build::target_folder()?.join("dist");
    let folder = target.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    copy(&binary, &folder.join("gotrace"))?;
    for file in FILES {
        let mut cp = Command::new("cp");
        exec::text(cp.arg("-r").arg(exec::workspace().join(file)).arg(&folder))?;
    }
    generate(&binary, &folder)?;
    write(&folder.join("THIRD-PARTY.txt"), &licences::text(TARGET)?)?;
    for file in copied(&fs::read_to_string(folder.join("deploy/Containerfile"))?) {
        ensure!(folder.join(file).is_file(), "the image copies {file}, which is not there");
    }
    pack(&target, &name)?;
    VOICE.say(format_args!("packed {}", target.join(format!("{name}.tar.gz")).display()));
    Ok(folder)
}

fn build() -> Result<PathBuf> {
    if survey().complete().is_none() {
        setup::ensure()?;
    }
    let mut cargo = exec::cargo();
    cargo.args(["build", "--release", "--package", "tracer", "--bin", "gotrace", "--target", TARGET]);
    cargo.args(build::FEATURES);
    // Not by the environment, which the build of the kernel side would see as well.
    VOICE.run("building gotrace", cargo.args(["--config", STATIC]))?;
    Ok(build::target_folder()?.join(TARGET).join("release/gotrace"))
}

/// Whether it runs where there is nothing but itself.
fn alone(binary: &Path) -> Result<()> {
    let root = tempfile::tempdir().context("making an empty root")?;
    copy(binary, &root.path().join("gotrace"))?;
    let mut command = if exec::is_root() {
        Command::new("chroot")
    } else {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "chroot"]);
        unshare
    };
    let said = exec::text(command.arg(root.path()).args(["/gotrace", "--version"]))
        .context("running it where there is nothing else")?;
    VOICE.say(format_args!("runs alone: {}", said.trim()));
    Ok(())
}

/// What the binary says of itself: completions, manual pages, its lines' schema.
fn generate(binary: &Path, folder: &Path) -> Result<()> {
    let generate = |args: &[&str]| exec::text(Command::new(binary).arg("generate").args(args));
    let (completions, manual) = (folder.join("completions"), folder.join("man"));
    for folder in [&completions, &manual] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    for (shell, name) in [("bash", "gotrace.bash"), ("zsh", "_gotrace"), ("fish", "gotrace.fish")] {
        write(&completions.join(name), &generate(&["completions", shell])?)?;
    }
    manuals(binary, &manual, &[])?;
    write(&folder.join("gotrace.schema.json"), &generate(&["schema"])?)
}

/// The page of a command, and those of its own commands.
fn manuals(binary: &Path, folder: &Path, command: &[&str]) -> Result<()> {
    let page = exec::text(Command::new(binary).args(["generate", "man"]).args(command))?;
    let name = [&["gotrace"], command].concat().join("-");
    write(&folder.join(format!("{name}.1")), &page)?;
    let verbs = verbs(&name, &page);
    ensure!(!(command.is_empty() && verbs.is_empty()), "the manual page names no verb");
    verbs.iter().try_for_each(|verb| manuals(binary, folder, &[command, &[verb.as_str()]].concat()))
}

/// A command's own commands, by the pages that its page refers to.
fn verbs(name: &str, page: &str) -> Vec<String> {
    let prefix = format!("{name}-").replace('-', "\\-");
    let verb = |line: &str| Some(line.strip_prefix(&prefix)?.strip_suffix("(1)")?.replace('\\', ""));
    page.lines().filter_map(verb).filter(|verb| verb != "help").collect()
}

/// What the image is made of, of the folder that it is built in.
fn copied(containerfile: &str) -> Vec<&str> {
    let copies = containerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    let sources = copies.filter_map(|copy| Some(copy.rsplit_once(' ')?.0.split_whitespace()));
    sources.flatten().collect()
}

/// One archive, the same from the same files, and its checksum and the binary's.
fn pack(target: &Path, name: &str) -> Result<()> {
    let archive = format!("{name}.tar.gz");
    let date =
        exec::text(Command::new("git").args(["log", "-1", "--format=@%ct"]).current_dir(exec::workspace()))
            .unwrap_or_else(|_| "@0".to_owned());
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go=rX,u+rw,a-s"]);
    tar.arg(format!("--mtime={}", date.trim())).args([
        "--use-compress-program=gzip -n9",
        "-cf",
        &archive,
        name,
    ]);
    VOICE.quiet("packing", tar.current_dir(target))?;
    let mut sums = Command::new("sha256sum");
    sums.args([&archive, &format!("{name}/gotrace")]).current_dir(target);
    write(&target.join("SHA256SUMS"), &exec::text(&mut sums)?)
}

fn version() -> Result<String> {
    let metadata = build::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo's metadata has no packages")?;
    let tracer = packages.iter().find(|package| package["name"] == "tracer").context("there is no tracer")?;
    Ok(tracer["version"].as_str().context("it has no version")?.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{copied, verbs};

    #[test]
    fn the_image_is_made_of_what_is_copied() {
        let file = "# COPY no\nFROM scratch\nCOPY gotrace /gotrace\nCOPY A B /licenses/\nENTRYPOINT [\"/gotrace\"]\n";
        assert_eq!(copied(file), ["gotrace", "A", "B"]);
    }

    #[test]
    fn a_page_names_its_commands() {
        let page =
            ".SH SUBCOMMANDS\n.TP\ngotrace\\-node\\-run(1)\nTrace\n.TP\ngotrace\\-node\\-help(1)\nPrint\n";
        assert_eq!(verbs("gotrace-node", page), ["run"]);
        assert_eq!(verbs("gotrace-run", page), [""; 0]);
    }
}
