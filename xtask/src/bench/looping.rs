//! The fixture that does one thing over and over when it is told to, and says how long it took.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::fixtures::Fixture;

/// The fixture, running. It ends with this.
pub(super) struct Loop {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Loop {
    pub(super) const FIXTURE: &str = "loop";

    pub(super) fn start(fixture: &Fixture) -> Result<Self> {
        let mut child = Command::new(&fixture.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", fixture.path))?;
        let stdin = child.stdin.take().context("its input was piped")?;
        let stdout = BufReader::new(child.stdout.take().context("its output was piped")?);
        let mut looping = Self { child, stdin, stdout };
        looping.line()?;
        Ok(looping)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Nanoseconds of one of them, of so many.
    pub(super) fn time(&mut self, what: &str, count: u32) -> Result<f64> {
        writeln!(self.stdin, "{what} {count}").context("telling the fixture what to do")?;
        let took = self.line()?;
        let total = took["total_ns"].as_f64().context("the fixture did not say how long it took")?;
        Ok(total / f64::from(count))
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).context("listening to the fixture")?;
        serde_json::from_str(&line).context("reading what the fixture says")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
