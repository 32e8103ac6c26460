//! Loading probes takes privileges: this process's own, or sudo's when it asks for no password.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::exec::is_root;

/// gotrace's exit code for an environment that does not let it trace.
pub(crate) const UNFIT: i32 = 3;

/// Where the probes can be loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    /// This process is root.
    Root,
    /// sudo makes it root.
    Sudo,
    /// Neither.
    None,
}

impl Road {
    /// Looks, without asking anybody.
    pub(crate) fn find() -> Self {
        let sudo = || {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            sudo.status().is_ok_and(|status| status.success())
        };
        match is_root() {
            true => Self::Root,
            false if sudo() => Self::Sudo,
            false => Self::None,
        }
    }

    /// `program`, as root and with these variables, which sudo would not hand on by itself.
    pub(crate) fn command<V: AsRef<OsStr>>(self, program: &Path, variables: &[(&str, V)]) -> Command {
        if self != Self::Sudo {
            let mut command = Command::new(program);
            command.envs(variables.iter().map(|(name, value)| (name, value.as_ref())));
            return command;
        }
        let mut command = Command::new("sudo");
        command.args(["-n", "env"]);
        for (name, value) in variables {
            let mut word = OsStr::new(name).to_owned();
            word.push("=");
            word.push(value.as_ref());
            command.arg(word);
        }
        command.arg(program);
        command
    }
}

/// Why `gotrace` cannot trace natively, by trying it on a program that ends at once; nothing when it can.
pub(crate) fn obstacle(road: Road, gotrace: &Path, program: &Path) -> Result<Option<String>> {
    if road == Road::None {
        return Ok(Some("not root, and sudo is not there or wants a password".into()));
    }
    let mut command = road.command::<&str>(gotrace, &[]);
    command.args(["run", "--"]).arg(program).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("trying {}", gotrace.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let unfit = output.status.code() == Some(UNFIT);
    Ok(unfit.then(|| said.lines().next().unwrap_or("gotrace says that this machine is unfit").to_owned()))
}
