//! `cargo xtask fuzz`: hostile bytes for the readers of hostile input.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::exec::{self, Voice};
use crate::tools;

const VOICE: Voice = Voice("fuzz");

/// Feeds the readers of hostile input with what a coverage-guided fuzzer makes up.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long for each target
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Only build the targets
    #[arg(long)]
    build: bool,
    /// Only this target
    target: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = exec::workspace().join("tracer");
    if !folder.join("fuzz/Cargo.toml").is_file() {
        bail!("there are no fuzz targets in {}", folder.join("fuzz").display());
    }
    let program = tools::FUZZ.fetch(VOICE)?;
    let cargo_fuzz = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        // The sanitizer's switch is unstable; this unlocks it in a stable compiler too.
        command.arg("fuzz").args(arguments).current_dir(&folder).env("RUSTC_BOOTSTRAP", "1");
        // Inside the fuzz folder, so that the workspace's own build is left alone.
        command.env_remove("CARGO_TARGET_DIR");
        // What is fuzzed does not need the kernel side.
        command.env("AYA_BUILD_SKIP", "1");
        command
    };
    let listed = exec::text(&mut cargo_fuzz(&["list"])).context("listing the fuzz targets")?;
    let known: Vec<&str> = listed.lines().collect();
    let targets = match &args.target {
        Some(target) if !known.contains(&target.as_str()) => {
            bail!("there is no fuzz target `{target}`; there are: {}", known.join(", "))
        }
        Some(target) => vec![target.as_str()],
        None => known,
    };
    for target in targets {
        VOICE.run(format_args!("building {target}"), &mut cargo_fuzz(&["build", target]))?;
        if !args.build {
            // Findings go to the first folder; the second, when there is one, is only read.
            let [corpus, seeds] = ["corpus", "seeds"].map(|kind| format!("fuzz/{kind}/{target}"));
            fs::create_dir_all(folder.join(&corpus)).with_context(|| format!("creating {corpus}"))?;
            let mut command = cargo_fuzz(&["run", target, &corpus]);
            if folder.join(&seeds).is_dir() {
                command.arg(&seeds);
            }
            command.args([
                "--",
                "-max_len=16384",
                "-malloc_limit_mb=64",
                // By the wall clock, which goes on where others have the processor.
                "-timeout=60",
                "-print_final_stats=1",
            ]);
            command.arg(format!("-max_total_time={}", args.minutes.saturating_mul(60)));
            VOICE.run(format_args!("running {target} for {} minutes", args.minutes), &mut command)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
