//! `cargo xtask ci`: the one list of gates. `.ci/run` runs it, and so does whoever wants to know beforehand.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::bench::instructions;
use crate::exec::{self, Voice};
use crate::test::{self, Suite, Tools};
use crate::{build, setup, tools};

const VOICE: Voice = Voice("ci");

/// Runs every gate: format, lints, documentation, licences and sources of crates, all tests, and what probes cost.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    tests: test::Args,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    // The lints see what the build sees, which is more where the kernel side can be compiled.
    setup::ensure()?;
    let mut suite = Suite::default();
    let gates = || {
        gate(&mut suite, "format", exec::cargo().args(["fmt", "--all", "--check"]));
        let mut clippy = exec::cargo();
        clippy.args(["clippy", "--workspace", "--all-targets"]).args(build::FEATURES);
        gate(&mut suite, "lints", clippy.args(["--", "-D", "warnings"]));
        let mut least = exec::cargo();
        least.args(["clippy", "--package", "tracer", "--", "-D", "warnings"]);
        gate(&mut suite, "lints, no features", &mut least);
        let mut doc = exec::cargo();
        doc.args(["doc", "--workspace", "--no-deps"]).args(build::FEATURES);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        gate(&mut suite, "documentation", &mut doc);
        crates(&mut suite);
        build::gotrace()
    };
    let (gotrace, programs) = test::beside(|| test::programs(&args.tests), gates);
    let built = gotrace.as_ref().ok().cloned();
    test::all(&args.tests, Tools::of(gotrace, programs), &mut suite)?;
    if let Some(gotrace) = built
        && !args.tests.no_vm
    {
        instructions::gate(&gotrace, &mut suite);
    }
    suite.finish()
}

fn gate(suite: &mut Suite, name: &str, command: &mut Command) {
    suite.part(name, "here", |part| {
        VOICE.run(name, command)?;
        part.pass("clean");
        Ok(())
    });
}

/// What the crates that gotrace is built from are, by deny.toml.
fn crates(suite: &mut Suite) {
    let deny = match tools::DENY.fetch(VOICE) {
        Ok(deny) => deny,
        Err(error) => return suite.lost("crates", "here", &error),
    };
    let command = |arguments: &[&str]| {
        let mut command = Command::new("timeout");
        command.arg("300").arg(&deny).args(arguments).current_dir(exec::workspace());
        command
    };
    gate(suite, "crates", &mut command(&["check", "licenses", "bans", "sources"]));
    // The advisories are in a repository of their own, which closed networks do not reach.
    if exec::text(&mut command(&["fetch", "db"])).is_ok() {
        gate(suite, "advisories", &mut command(&["check", "--disable-fetch", "advisories"]));
    } else {
        suite.note("advisories: not checked, since their database cannot be fetched here");
    }
}
