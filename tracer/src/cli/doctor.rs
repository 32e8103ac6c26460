//! `gotrace doctor`: can gotrace work here, what is missing, and the fix.

use std::io::Write as _;

use serde::Serialize;

use super::Exit;
use crate::doctor::{self, Verdict};

/// Check whether gotrace can work here, and say what to do about it
#[derive(clap::Args)]
pub(super) struct Args {
    /// One JSON object a check
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    r#type: &'static str,
    name: &'a str,
    verdict: &'static str,
    found: &'a str,
    consequence: &'a str,
    fix: &'a str,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut checks = doctor::checks("gotrace");
    if checks.iter().all(|check| check.verdict != Verdict::Fail) {
        checks.push(doctor::trial());
    }
    let mut out = anstream::stdout().lock();
    for check in &checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        if args.json {
            let doctor::Check { name, verdict: _, found, consequence, fix } = check;
            let verdict = if check.verdict == Verdict::Fail { "fail" } else { verdict };
            let row = Row { r#type: "check", name, verdict, found, consequence, fix };
            writeln!(out, "{}", serde_json::to_string(&row)?)?;
            continue;
        }
        writeln!(out, "{verdict:<5} {:<19} {}", check.name, check.found)?;
        if check.verdict != Verdict::Ok {
            writeln!(out, "      {}\n      fix: {}", check.consequence, check.fix)?;
        }
    }
    let fit = checks.iter().all(|check| check.verdict != Verdict::Fail);
    Ok(if fit { Exit::Ok } else { Exit::Environment })
}
