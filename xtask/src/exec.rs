//! Running other programs: every step is said before it is taken, and a failure names the command.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// A voice: the verb that speaks, before each of its lines.
#[derive(Clone, Copy)]
pub(crate) struct Voice(pub(crate) &'static str);

impl Voice {
    /// Says one line.
    pub(crate) fn say(self, what: impl Display) {
        println!("{}: {what}", self.0);
    }

    /// Runs a command whose output the reader wants to see.
    pub(crate) fn run(self, what: impl Display, command: &mut Command) -> Result<()> {
        self.say(format_args!("{what} ({})", line(command)));
        let status =
            command.stdin(Stdio::null()).status().with_context(|| format!("starting {}", line(command)))?;
        if !status.success() {
            bail!("{} failed: {status}", line(command));
        }
        Ok(())
    }

    /// Runs a command whose output matters only when it fails.
    pub(crate) fn quiet(self, what: impl Display, command: &mut Command) -> Result<()> {
        self.say(format_args!("{what} ({})", line(command)));
        let started = Instant::now();
        let output =
            command.stdin(Stdio::null()).output().with_context(|| format!("starting {}", line(command)))?;
        if !output.status.success() {
            let mut stderr = std::io::stderr().lock();
            stderr.write_all(&output.stdout).and_then(|()| stderr.write_all(&output.stderr))?;
            bail!("{} failed: {}", line(command), output.status);
        }
        let seconds = started.elapsed().as_secs();
        if seconds >= 10 {
            self.say(format_args!("done in {seconds} s"));
        }
        Ok(())
    }
}

/// What a command prints; an error when it fails, with its own words.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("starting {}", line(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}\n{}", line(command), output.status, said.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading the output of {}", line(command)))
}

/// A command as one would type it: the toolchain's cargo without the folder that it lies in.
pub(crate) fn line(command: &Command) -> String {
    let program = command.get_program();
    let program = if Path::new(program).ends_with("cargo") { OsStr::new("cargo") } else { program };
    let words = [program].into_iter().chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Whether this process may install packages and load probes.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// `cargo`, the one that runs this, in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    command
}

/// The workspace's folder.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
