//! bpftrace, the peer: one uprobe that counts.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::exec::line;

/// bpftrace with one uprobe that counts.
pub(super) struct Bpftrace {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Bpftrace {
    /// At a place of the binary: a function, or the offset in the file of an instruction. The latter it takes only
    /// for a stripped binary, and without its own checks.
    pub(super) fn attach(binary: &str, place: &str) -> Result<Self> {
        let mut command = Command::new("bpftrace");
        command.args(["--unsafe", "-e"]).arg(format!(
            r#"BEGIN {{ printf("attached\n"); }} uprobe:{binary}:{place} {{ @inits = count(); }}"#
        ));
        // What it says of limits that no longer matter, at every start, helps nobody.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("starting {}", line(&command)))?;
        let output = child.stdout.take().context("bpftrace's output was piped")?;
        let mut output = BufReader::new(output).lines();
        if !output.by_ref().map_while(Result::ok).any(|line| line == "attached") {
            bail!("{} ended before it was attached: {}", line(&command), child.wait()?);
        }
        // BEGIN runs first of all probes, so the other one may still be on its way.
        thread::sleep(Duration::from_millis(300));
        Ok(Self { child, output })
    }

    /// Ends it, and gives what it counted.
    pub(super) fn detach(mut self) -> Result<u64> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-INT", &id]).status().context("interrupting bpftrace")?;
        let counted =
            self.output.map_while(Result::ok).find_map(|line| line.strip_prefix("@inits: ")?.parse().ok());
        self.child.wait().context("waiting for bpftrace's end")?;
        Ok(counted.unwrap_or(0))
    }
}
