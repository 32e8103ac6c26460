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
        /// The command
        verb: Option<String>,
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
        What::Man { verb } => clap_mangen::Man::new(page(verb.as_deref())?).render(&mut out)?,
    }
    match io::stdout().lock().write_all(&out) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        other => other.context("cannot write to standard output").map(|()| Exit::Ok),
    }
}

/// What the page is about.
fn page(verb: Option<&str>) -> anyhow::Result<Command> {
    let mut gotrace = Cli::command();
    let Some(name) = verb else { return Ok(gotrace) };
    gotrace.build();
    let Some(verb) = gotrace.find_subcommand(name) else {
        bail!("gotrace has no command {name}");
    };
    Ok(verb.clone())
}
