//! `cargo xtask bench instructions`: what gotrace's programs cost, in instructions of a virtual machine whose clock
//! counts them. That is the same wherever it runs, so it can have limits.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::kept::{Costs, Kept};
use crate::build;
use crate::fixtures::{self, Selection};
use crate::test::{Part, Suite};
use crate::vm::{Clock, Guest, Kernel};

const LOOP: &str = "loop";

/// What a system call of the process that is looked at may cost, at its entry or at its exit.
const TARGET_LIMIT: f64 = 600.0;

/// The same of a call that says EAGAIN: it begins a wait in the network poller, and ends the one before.
const WAIT_LIMIT: f64 = 1200.0;

/// What one of another process may.
const OTHER_LIMIT: f64 = 120.0;

/// The cost of each program, for the process that is looked at and for others; fails when a limit is exceeded, or when
/// one takes more than a twentieth more than docs/instructions.json says.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which of Debian's kernels; both, when none is named
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
    /// Write the figures to docs/instructions.json instead
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let gotrace = build::gotrace()?;
    let kernels = args.kernel.map_or(Kernel::ALL.to_vec(), |kernel| vec![kernel]);
    let mut kept = Kept::read()?;
    let mut complaints = Vec::new();
    for kernel in kernels {
        let measured = measure(&mut guest(&gotrace, kernel)?)?;
        println!("\n{:<60} {:>8} {:>12} {:>8}", format!("Linux {kernel}"), "runs", "instructions", "before");
        for measured in &measured {
            let what = measured.name();
            let before = kept.cost(kernel, &what).map_or(String::new(), |cost| cost.to_string());
            println!("{what:<60} {:>8} {:>12.0} {before:>8}", measured.cost.runs, measured.each());
            complaints.extend(measured.exceeds());
        }
        if args.keep {
            kept.keep(kernel, costs_of(&measured));
        } else {
            complaints.extend(kept.complaints(kernel, &costs_of(&measured)));
        }
    }
    for complaint in &complaints {
        println!("{complaint}");
    }
    if args.keep {
        kept.write()?;
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What has risen, as a gate, on every kernel at once. How many calls of a mean took long, and have a stack, depends on what
/// else the machine does: a rise that is not there again was none, and the limits are for who measures by hand.
pub(crate) fn gate(gotrace: &Path, suite: &mut Suite) {
    // They are packed one after the other: both use the cache.
    let guests = Kernel::ALL.map(|kernel| (format!("QEMU, {kernel}"), (kernel, guest(gotrace, kernel))));
    let compare = |(kernel, guest): &mut (Kernel, Result<Guest>), part: &mut Part| {
        let (guest, kept) = (guest.as_mut().or_else(|error| bail!("{error:#}"))?, Kept::read()?);
        let mut risen = || -> Result<_> { Ok(kept.complaints(*kernel, &costs_of(&measure(guest)?))) };
        let mut complaints = risen()?;
        if !complaints.is_empty() {
            complaints = risen()?;
        }
        for complaint in &complaints {
            part.fail(&format!("{complaint} (see cargo xtask bench instructions)"));
        }
        if complaints.is_empty() {
            part.pass("no program takes more than before");
        }
        Ok(())
    };
    suite.parts_at_once("instructions", guests.into(), compare, |_, _, _| Ok(()));
}

fn guest(gotrace: &Path, kernel: Kernel) -> Result<Guest> {
    let folder = fixtures::ensure(&Selection::Named(&[LOOP]))?;
    let mut guest = Guest::new(kernel)?;
    guest.clock(Clock::Instructions);
    guest.program(gotrace, "/usr/bin/gotrace")?;
    guest.fixtures(&folder, |fixture| fixture.name == LOOP)?;
    Ok(guest)
}

fn measure(guest: &mut Guest) -> Result<Vec<Measured>> {
    let mut said = Vec::new();
    let outcome = guest.run(include_str!("instructions.sh"), Duration::from_secs(300), |line| {
        said.push(line.to_owned());
    })?;
    if outcome.exit_code != 0 {
        bail!("the measurement failed in the guest:\n{}", said.join("\n"));
    }
    measured(&said)
}

fn costs_of(measured: &[Measured]) -> Costs {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some hundreds of instructions"
    )]
    let whole = |each: f64| each.round() as u64;
    // What is told one by one takes more or less, as there is to tell.
    let limited = measured.iter().filter(|measured| measured.limit().is_finite());
    limited.map(|measured| (measured.name(), whole(measured.each()))).collect()
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
    /// What ran, for whom.
    fn name(&self) -> String {
        let who = if self.is_target() { "target" } else { "another process" };
        format!("{}, {who}: {}", self.program, self.what.trim_end())
    }

    /// A sentence, when it costs more than it may.
    fn exceeds(&self) -> Option<String> {
        let (each, limit) = (self.each(), self.limit());
        (each > limit).then(|| format!("{} takes {each:.0} instructions, more than {limit}", self.name()))
    }

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
            (true, false) if self.what.starts_with("eagain") => WAIT_LIMIT,
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
