//! `gotrace generate`: what other programs need to work with gotrace.

use std::io::{self, Write};

use anyhow::{Context as _, bail};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Exit};
use crate::export;

/// Print what other programs need: the JSON Schema, completions of a shell, manual pages
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  gotrace generate schema > gotrace.schema.json
  gotrace generate completions bash > /usr/share/bash-completion/completions/gotrace
  gotrace generate man run | man -l -")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The JSON Schema (2020-12) of every line that gotrace writes as NDJSON, and of inspect --json
    Schema,
    /// What completes gotrace's commands and options in a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// The manual page of gotrace, or of one of its commands
    Man {
        /// The command, and what of it: `node run`, say
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut out = Vec::new();
    match &args.what {
        What::Schema => {
            serde_json::to_writer_pretty(&mut out, &export::schema())?;
            out.push(b'\n');
        }
        What::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "gotrace", &mut out);
        }
        What::Man { command } => clap_mangen::Man::new(page(command)?).render(&mut out)?,
    }
    match io::stdout().lock().write_all(&out) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        other => other.context("cannot write to standard output").map(|()| Exit::Ok),
    }
}

/// What the page is about.
fn page(command: &[String]) -> anyhow::Result<Command> {
    let mut gotrace = Cli::command();
    if !command.is_empty() {
        gotrace.build();
    }
    command.iter().try_fold(gotrace, |within, name| match within.find_subcommand(name) {
        Some(found) => Ok(found.clone()),
        None => bail!("gotrace has no command {}", command.join(" ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_commands_have_pages_too() {
        let text = |command: &[&str]| {
            let command: Vec<String> = command.iter().map(ToString::to_string).collect();
            let mut out = Vec::new();
            clap_mangen::Man::new(page(&command)?).render(&mut out)?;
            anyhow::Ok(String::from_utf8_lossy(&out).into_owned())
        };
        assert!(text(&[]).unwrap().contains("gotrace\\-node(1)"));
        assert!(text(&["node"]).unwrap().contains("gotrace\\-node\\-run(1)"));
        assert!(text(&["node", "run"]).unwrap().contains("\\-\\-kill\\-switch"));
        assert!(text(&["node", "walk"]).is_err() && text(&["walk"]).is_err());
    }
}
