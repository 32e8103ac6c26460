//! Fixtures that do what a line tells them, and say in a line what came of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::fixtures::Fixture;

/// The one that does one thing over and over.
pub(super) const LOOP: &str = "loop";

/// One of them, running. It ends with this.
pub(super) struct Told {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Told {
    pub(super) fn start(fixture: &Fixture) -> Result<Self> {
        let mut child = Command::new(&fixture.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", fixture.path))?;
        let stdin = child.stdin.take().context("its input was piped")?;
        let stdout = BufReader::new(child.stdout.take().context("its output was piped")?);
        let mut told = Self { child, stdin, stdout };
        told.line()?;
        Ok(told)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it says of what it did.
    pub(super) fn ask(&mut self, what: &str) -> Result<Value> {
        writeln!(self.stdin, "{what}").context("telling the fixture what to do")?;
        self.line()
    }

    /// Nanoseconds of one of what [`LOOP`] is told, of so many.
    pub(super) fn time(&mut self, what: &str, count: u32) -> Result<f64> {
        let took = self.ask(&format!("{what} {count}"))?;
        let total = took["total_ns"].as_f64().context("the fixture did not say how long it took")?;
        Ok(total / f64::from(count))
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).context("listening to the fixture")?;
        serde_json::from_str(&line).context("reading what the fixture says")
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
