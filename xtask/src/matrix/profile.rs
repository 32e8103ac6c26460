//! Profiles to build programs by, made as a user of gotrace would make them: from a program that runs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::exec;
use crate::fixtures::{self, Build, Toolchain};

/// Makes the profile of a Go version's programs when there is none: of goroutines that wait for each other, so that
/// the compiler finds the scheduler worth inlining.
pub(super) fn ensure(gotrace: &Path, go: &'static str) -> Result<()> {
    let profile = Toolchain::fetch(go)?.profile()?;
    if profile.is_file() {
        return Ok(());
    }
    let (folder, _) = fixtures::cell(go, Build::Default)?;
    let all = fixtures::read(&folder)?;
    let program = all.iter().find(|fixture| fixture.program == "waits").context("no program to profile")?;
    let mut child = Command::new(&program.path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let profiled = (|| {
        let (mut stdin, stdout) =
            (child.stdin.take().context("a pipe")?, child.stdout.take().context("a pipe")?);
        let mut said = BufReader::new(stdout).lines();
        for (word, answer) in [("", "ready"), ("storm\n", "done")] {
            stdin.write_all(word.as_bytes())?;
            if said.next().transpose()?.as_deref() != Some(answer) {
                bail!("{} did not say {answer}", program.path);
            }
        }
        let partial = profile.with_added_extension("pb.gz");
        let mut attach = Command::new(gotrace);
        attach.args(["attach", "--duration", "5s", "--no-gc", "--flame", "cpu", "-o"]).arg(&partial);
        exec::text(attach.arg(child.id().to_string()))?;
        std::fs::rename(&partial, &profile).context("naming the profile")
    })();
    child.kill()?;
    child.wait()?;
    profiled
}
