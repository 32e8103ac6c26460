//! `cargo xtask bench instructions`: what gotrace's programs cost, in instructions of a virtual machine whose clock
//! counts them. That is the same wherever it runs, so it can have limits.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::build;
use crate::fixtures::{self, Selection};
use crate::vm::{Clock, Guest, Kernel};

const LOOP: &str = "loop";

/// What a system call of the process that is looked at may cost, at its entry or at its exit.
const TARGET_LIMIT: f64 = 600.0;

/// What one of another process may.
const OTHER_LIMIT: f64 = 120.0;

/// The cost of each program, for the process that is looked at and for others; fails when a limit is exceeded.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which of Debian's kernels; both, when none is named
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let gotrace = build::gotrace()?;
    let folder = fixtures::ensure(&Selection::Named(&[LOOP]))?;
    let kernels = args.kernel.map_or_else(|| vec![Kernel::V6_1, Kernel::V6_12], |kernel| vec![kernel]);
    let mut exceeded = false;
    for kernel in kernels {
        let mut guest = Guest::new(kernel)?;
        guest.clock(Clock::Instructions);
        guest.program(&gotrace, "/usr/bin/gotrace")?;
        guest.fixtures(&folder, |fixture| fixture.name == LOOP)?;
        let mut said = Vec::new();
        let outcome = guest.run(include_str!("instructions.sh"), Duration::from_secs(300), |line| {
            said.push(line.to_owned());
        })?;
        if outcome.exit_code != 0 {
            bail!("the measurement failed in the guest:\n{}", said.join("\n"));
        }
        println!("\n{:<24} {:<44} {:>8} {:>12}", format!("Linux {kernel}"), "", "runs", "instructions");
        for measured in measured(&said)? {
            let over = measured.each() > measured.limit();
            exceeded |= over;
            let what = format!(
                "{} {}",
                if measured.is_target() { "target:" } else { "another process:" },
                measured.what
            );
            println!(
                "{:<24} {what:<44} {:>8} {:>12.0}{}",
                measured.program,
                measured.cost.runs,
                measured.each(),
                if over { format!("  more than {}", measured.limit()) } else { String::new() }
            );
        }
    }
    Ok(if exceeded { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What the kernel has counted of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    time: u64,
    runs: u64,
}

/// What a program did between two looks.
#[derive(Debug, PartialEq)]
struct Measured {
    program: String,
    who: String,
    what: String,
    cost: Cost,
}

impl Measured {
    fn is_target(&self) -> bool {
        self.who == "target"
    }

    /// Instructions a run.
    fn each(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a mean, printed without digits")]
        let mean = self.cost.time as f64 / self.cost.runs as f64;
        mean
    }

    /// What is told one by one has no limit: it is rare.
    fn limit(&self) -> f64 {
        match (self.is_target(), self.what.contains("--slow")) {
            (true, false) => TARGET_LIMIT,
            (true, true) => f64::INFINITY,
            (false, _) => OTHER_LIMIT,
        }
    }
}

/// The differences between the looks that the guest printed.
fn measured(said: &[String]) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    let text = said.join("\n");
    for part in text.split("@before ").skip(1) {
        let (title, rest) = part.split_once('\n').context("a look without a title")?;
        let (before, after) = rest.split_once("@after\n").context("a look without a second one")?;
        let (who, what) = title.trim().split_once(' ').context("a title without a call")?;
        let before = costs(before);
        for (program, after) in costs(after) {
            let before = before.get(&program).copied().unwrap_or_default();
            let cost = Cost { time: after.time - before.time, runs: after.runs - before.runs };
            // What ran a few times was not what was called for.
            if cost.runs >= 1000 {
                all.push(Measured { program, who: who.into(), what: what.into(), cost });
            }
        }
    }
    if all.is_empty() {
        bail!("no program ran in the guest:\n{text}");
    }
    Ok(all)
}

/// The cost of each program by the name of its tracepoint, from the descriptors of the process that holds them:
/// those of programs have the cost, and those of links the tracepoint (Documentation/filesystems/proc.rst, fdinfo).
fn costs(text: &str) -> BTreeMap<String, Cost> {
    let mut costs = BTreeMap::new();
    let mut tracepoints = BTreeMap::new();
    for descriptor in text.split("pos:") {
        let field = |name: &str| {
            descriptor.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        let number = |name| field(name)?.parse::<u64>().ok();
        let Some(id) = number("prog_id") else { continue };
        if let Some(tracepoint) = field("tp_name") {
            tracepoints.insert(id, tracepoint.to_owned());
        } else if let (Some(time), Some(runs)) = (number("run_time_ns"), number("run_cnt")) {
            costs.insert(id, Cost { time, runs });
        }
    }
    tracepoints.into_iter().filter_map(|(id, tracepoint)| Some((tracepoint, *costs.get(&id)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::{Cost, Measured, costs, measured};

    const BEFORE: &str = "pos:\t0\nprog_type:\t17\nprog_id:\t5\nrun_time_ns:\t100\nrun_cnt:\t1\n\
        pos:\t0\nlink_type:\traw_tracepoint\nlink_id:\t1\nprog_id:\t5\ntp_name:\tsys_exit\npos:\t0\nflags:\t02\n";

    #[test]
    fn a_program_is_named_by_its_tracepoint() {
        assert_eq!(costs(BEFORE), [("sys_exit".to_owned(), Cost { time: 100, runs: 1 })].into());
    }

    #[test]
    fn what_ran_between_two_looks_is_measured() {
        let after = BEFORE.replace("\t100\n", "\t600100\n").replace("run_cnt:\t1\n", "run_cnt:\t2001\n");
        let text = format!("@before target pread \n{BEFORE}\n@after\n{after}");
        let said: Vec<String> = text.lines().map(str::to_owned).collect();
        let cost = Cost { time: 600_000, runs: 2000 };
        let expected =
            Measured { program: "sys_exit".into(), who: "target".into(), what: "pread".into(), cost };
        assert_eq!(expected.each(), 300.0);
        assert_eq!(measured(&said).unwrap(), [expected]);
        assert!(measured(&[]).is_err());
    }
}
