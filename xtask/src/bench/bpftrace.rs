//! bpftrace, the peer: uprobes that count.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::exec::line;

/// What its program does at each hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Count,
    Nothing,
}

/// bpftrace with a few uprobes.
pub(super) struct Bpftrace {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Bpftrace {
    /// At places of the binary: functions, or the offsets in the file of instructions. The latter it takes only
    /// for a stripped binary, and without its own checks.
    pub(super) fn attach(binary: &str, places: &[&str], does: Does) -> Result<Self> {
        let mut command = Command::new("bpftrace");
        let places: Vec<String> = places.iter().map(|place| format!("uprobe:{binary}:{place}")).collect();
        let program = match does {
            Does::Count => "@hits = count();",
            Does::Nothing => "",
        };
        command
            .args(["--unsafe", "-e"])
            .arg(format!(r#"BEGIN {{ printf("attached\n"); }} {} {{ {program} }}"#, places.join(", ")));
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
            self.output.map_while(Result::ok).find_map(|line| line.strip_prefix("@hits: ")?.parse().ok());
        self.child.wait().context("waiting for bpftrace's end")?;
        Ok(counted.unwrap_or(0))
    }
}
