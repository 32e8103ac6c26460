//! One run of the fixture's `steady` step by each of its builds, in whichever test asks first: everything that stops
//! the world, at a steady rate.

use std::fs;
use std::sync::OnceLock;

use super::Program;
use super::account::Account;
use crate::blocking::Report;
use crate::support::fixtures_of;

/// What was said of a run.
pub(super) struct Run {
    pub(super) name: String,
    /// The minor version of Go.
    pub(super) go: u32,
    /// By the program, before and after.
    pub(super) before: Account,
    pub(super) after: Account,
    /// By Go, of the cycles between.
    pub(super) gctrace: Vec<String>,
    pub(super) report: Report,
    /// gotrace's lines in the format of gctrace.
    pub(super) lines: Vec<String>,
}

/// So many rounds of 10 ms: every kind of round is in them at least ten times.
pub(super) const ROUNDS: u64 = 200;

pub(super) fn runs() -> &'static [Run] {
    static RUNS: OnceLock<Vec<Run>> = OnceLock::new();
    RUNS.get_or_init(|| {
        let run = |fixture: crate::support::Fixture| {
            let mut program = Program::start(&fixture, "");
            let lines = program.folder.path().join("report.gctrace");
            let said_before = program.gctrace().len();
            let option = lines.to_str().expect("UTF-8").to_owned();
            let (after, report) =
                program.under_gotrace(&format!("steady {ROUNDS}"), &["-o", &option, "-o", "-"]);
            let lines = fs::read_to_string(&lines).expect("its lines");
            Run {
                name: fixture.name,
                go: minor(fixture.go.as_deref()),
                before: program.ready.clone(),
                after,
                gctrace: program.gctrace().split_off(said_before),
                report,
                lines: lines.lines().map(str::to_owned).collect(),
            }
        };
        fixtures_of("collector").into_iter().map(run).collect()
    })
}

fn minor(version: Option<&str>) -> u32 {
    let minor = || version?.split('.').nth(1)?.parse().ok();
    minor().unwrap_or_else(|| panic!("{version:?} is no version of Go"))
}
