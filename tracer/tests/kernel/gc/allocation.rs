//! How fast the program allocates, while the collector marks and between its cycles.

use super::{Program, default_builds};
use crate::number;
use crate::support::Fixture;

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_that_allocates_evenly_does_so_in_every_phase() {
    let fixtures = default_builds();
    let (oldest, newest) = (fixtures.first().expect("a build"), fixtures.last().expect("a build"));
    for fixture in [oldest, newest] {
        // Where others want the processors too, less is allocated while it marks, and more afterwards.
        let mut tries = (0..3).map(|_| unfit(fixture));
        let last = tries.find(Option::is_none).unwrap_or_else(|| unfit(fixture));
        assert_eq!(last, None, "{}", fixture.name);
    }
}

/// What is not as the program says.
fn unfit(fixture: &Fixture) -> Option<String> {
    let mut program = Program::start(fixture, "");
    let (account, report) = program.under_gotrace("paced 64", &[]);
    let said = number(&account.details["bytes"]) * 1_000_000_000 / number(&account.details["ns"]);
    let summary = report.all("gc_summary")[0];
    // It allocates every millisecond and marks for some ten of them; what a P has taken for itself is counted at once.
    let limits =
        [("alloc_bytes_per_s", 10), ("alloc_bytes_per_s_between", 15), ("alloc_bytes_per_s_marking", 40)];
    limits.into_iter().find_map(|(field, percent)| {
        let ours = number(&summary[field]);
        let is_fit = ours.abs_diff(said) <= said / 100 * percent;
        (!is_fit).then(|| format!("{field} {ours}, the program says {said}: {summary}"))
    })
}
