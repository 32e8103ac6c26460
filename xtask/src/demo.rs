//! `cargo xtask demo`: from a bare clone to two startup timelines.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::build;
use crate::exec::{Voice, line};
use crate::fixtures::{self, Fixture, Selection};
use crate::privilege::{self, Road};
use crate::vm::{Guest, Kernel};

const VOICE: Voice = Voice("demo");

/// What is shown: a program that everybody has, as it is shipped, and a service with slow inits.
const SHOWN: [(&str, &[&str]); 2] = [("esbuild", &["--version"]), ("slowstart", &[])];

pub(crate) fn run() -> Result<()> {
    let gotrace = build::gotrace()?;
    let names = SHOWN.map(|(name, _)| name);
    let folder = fixtures::ensure(&Selection::Named(&names))?;
    let mut fixtures = fixtures::read(&folder)?;
    fixtures.retain(|fixture| names.contains(&fixture.name.as_str()));
    let smallest = fixtures.first().context("the demo's programs are not there")?;

    let road = Road::find();
    let obstacle = privilege::obstacle(road, &gotrace, Path::new(&smallest.path))?;
    if let Some(obstacle) = obstacle {
        VOICE.say(format_args!("gotrace cannot trace on this machine as it is: {obstacle}"));
        VOICE.say("so here it is inside a virtual machine with Debian's 6.12 kernel, where it runs slower");
        in_vm(&gotrace, &folder)?;
    } else {
        natively(road, &gotrace, &fixtures)?;
    }
    println!();
    VOICE.say(format_args!("now your own: sudo {} run -- YOUR-PROGRAM", gotrace.display()));
    Ok(())
}

fn natively(road: Road, gotrace: &Path, fixtures: &[Fixture]) -> Result<()> {
    let folders = fixtures.iter().filter_map(|fixture| Path::new(&fixture.path).parent());
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(folders.map(Path::to_owned).chain(env::split_paths(&path)))
        .context("extending PATH by the fixtures' folders")?;
    for (program, args) in SHOWN {
        heading(program, args);
        let mut command = road.command(gotrace, &[("PATH", &path)]);
        command.args(["run", "--", program]).args(args);
        let status = command.status().with_context(|| format!("starting {}", line(&command)))?;
        if !status.success() {
            bail!("{} failed: {status}", line(&command));
        }
    }
    Ok(())
}

fn in_vm(gotrace: &Path, folder: &Path) -> Result<()> {
    let mut guest = Guest::new(Kernel::V6_12)?;
    guest.program(gotrace, "/usr/bin/gotrace")?;
    guest.fixtures(folder, |fixture| SHOWN.iter().any(|(name, _)| *name == fixture.name))?;
    let script: Vec<String> = SHOWN
        .iter()
        .map(|(program, args)| {
            format!("echo @heading {program}; gotrace run -- {program} {} || exit", args.join(" "))
        })
        .collect();
    let outcome = guest.run(&script.join("\n"), Duration::from_secs(300), |line| {
        match line.strip_prefix("@heading ").and_then(|name| SHOWN.iter().find(|(known, _)| *known == name)) {
            Some((program, args)) => heading(program, args),
            None => println!("{line}"),
        }
    })?;
    if outcome.exit_code != 0 {
        bail!("gotrace ended with code {} in the virtual machine", outcome.exit_code);
    }
    Ok(())
}

fn heading(program: &str, args: &[&str]) {
    let mut command = Command::new("gotrace");
    command.args(["run", "--", program]).args(args);
    println!("\n$ sudo {}", line(&command));
}
