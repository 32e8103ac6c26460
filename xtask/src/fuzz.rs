//! `cargo xtask fuzz`: hostile bytes for the readers of hostile input.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::exec::{self, Voice};
use crate::tools;

const VOICE: Voice = Voice("fuzz");

/// Feeds the readers of hostile input with what a coverage-guided fuzzer makes up.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long for each target
    #[arg(long, value_name = "N", default_value_t = 5)]
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
            let limit = format!("-max_total_time={}", args.minutes.saturating_mul(60));
            let limits =
                ["run", target, "--", &limit, "-timeout=10", "-rss_limit_mb=512", "-print_final_stats=1"];
            VOICE.run(
                format_args!("running {target} for {} minutes", args.minutes),
                &mut cargo_fuzz(&limits),
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
