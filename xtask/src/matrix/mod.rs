//! `cargo xtask matrix`: what of gotrace works on which Go, built how, on which kernel; each beside its oracle.

mod aspect;
mod profile;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;

use self::aspect::{ASPECTS, Aspect, PLACES, Place, Verdict};
use self::table::{Row, Table};
use crate::exec::Voice;
use crate::fixtures::{self, Build};
use crate::test::Tools;
use crate::{build, setup, test};

const VOICE: Voice = Voice("matrix");

/// Go 1.19, each later version, the patch levels between which the runtime's layouts moved, and first releases.
const GO: [&str; 13] = [
    "1.19", "1.21.13", "1.22.10", "1.23.1", "1.23.9", "1.24.3", "1.24.11", "1.25.0", "1.25.5", "1.26.0",
    "1.26.6", "1.27.0", "1.27.3",
];

/// Tries gotrace on every Go version, built in every way, on every kernel, and writes docs/matrix.md
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these Go versions
    #[arg(long, value_name = "VERSION", num_args = 1.., value_parser = GO)]
    go: Vec<String>,
    /// Only these ways to build
    #[arg(long, value_name = "BUILD", num_args = 1..)]
    build: Vec<Build>,
    /// Only these kernels; native is the one that runs here
    #[arg(long, value_name = "KERNEL", num_args = 1..)]
    kernel: Vec<Place>,
    /// Only these parts of gotrace
    #[arg(long, value_name = "PART", num_args = 1.., value_parser = ASPECTS.map(|aspect| aspect.name))]
    part: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    setup::ensure()?;
    let gotrace = build::gotrace()?;
    let kernel_tests = test::kernel_test_binary()?;
    for go in GO.into_iter().filter(|go| chosen(&args.go, |name| name == go)) {
        for build in
            Build::value_variants().iter().copied().filter(|build| chosen(&args.build, |b| b == build))
        {
            let rows = cell(args, &gotrace, &kernel_tests, (go, build))?;
            // After each, since the whole takes hours; and read anew, since another may try other cells meanwhile.
            let mut table = Table::read()?;
            rows.into_iter().for_each(|row| table.put(row));
            table.write()?;
        }
    }
    let table = Table::read()?;
    VOICE.say(table.summary());
    Ok(if table.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything, where nothing is chosen.
fn chosen<T>(these: &[T], is_it: impl Fn(&T) -> bool) -> bool {
    these.is_empty() || these.iter().any(is_it)
}

/// One Go version built in one way, on the kernels.
fn cell(
    args: &Args,
    gotrace: &Path,
    kernel_tests: &Path,
    (go, build): (&'static str, Build),
) -> Result<Vec<Row>> {
    VOICE.say(format_args!("Go {go}, {build:?}"));
    if build == Build::Pgo
        && let Err(error) = profile::ensure(gotrace, go)
    {
        return Ok(vec![Row::unbuilt(go, build, &format!("no profile to build it by: {error:#}"))]);
    }
    let (folder, unbuilt) = fixtures::cell(go, build)?;
    for (program, reason) in &unbuilt {
        VOICE.say(format_args!("{program} could not be built: {reason}"));
    }
    let there = fixtures::read(&folder)?;
    if there.is_empty() {
        let reason = unbuilt.first().map_or("nothing was built", |(_, reason)| reason);
        return Ok(vec![Row::unbuilt(go, build, reason)]);
    }
    let tools = Tools::new(gotrace.to_owned(), folder.clone(), folder.clone(), folder);
    let mut rows = Vec::new();
    for place in PLACES.into_iter().filter(|place| chosen(&args.kernel, |k| k == place)) {
        let aspects: Vec<&Aspect> =
            ASPECTS.iter().filter(|aspect| chosen(&args.part, |name| name == aspect.name)).collect();
        let verdicts: BTreeMap<&str, Verdict> = place
            .try_out(&aspects, &tools, kernel_tests, &there, &unbuilt)
            .with_context(|| format!("Go {go}, {build:?}, {place}"))?;
        rows.push(Row::of(go, build, &place.to_string(), verdicts));
    }
    Ok(rows)
}

/// Where the table is.
fn docs() -> PathBuf {
    crate::exec::workspace().join("docs")
}
