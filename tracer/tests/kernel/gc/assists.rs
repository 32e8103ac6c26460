//! Who paid for marking.

use serde_json::Value;

use super::{Program, is_below, those};
use crate::number;
use crate::support::fixtures_of;

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn assists_are_charged_to_who_allocates_in_proportion() {
    for fixture in fixtures_of("collector") {
        let mut program = Program::start(&fixture, "");
        let (account, report) = program.under_gotrace("assists 1024", &[]);
        let work = |function: &str| -> u64 {
            let lines = those(&report, "gc_assist", |line| is_below(line, function));
            lines.iter().map(|line| number(&line["scan_bytes"])).sum()
        };
        let (often, seldom) = (work("main.often"), work("main.seldom"));
        let all: u64 = report.all("gc_assist").iter().map(|line| number(&line["scan_bytes"])).sum();
        let allocated = |function: &str| number(&account.details[function]);
        let expected = share(allocated("main.often"), allocated("main.often") + allocated("main.seldom"));
        assert!((share(often, often + seldom) - expected).abs() < 0.1, "{}: {often} {seldom}", fixture.name);
        assert!(share(often + seldom, all) > 0.9, "{}: {:?}", fixture.name, report.all("gc_assist"));
        // What the runtime says that it took in all is what is shared out.
        let spent: u64 = report.all("gc").iter().map(|cycle| number(&cycle["assist_ns"])).sum();
        let shared: u64 = report.all("gc_assist").iter().map(|line| number(&line["estimated_cpu_ns"])).sum();
        assert!(spent > 0 && shared.abs_diff(spent) <= spent / 50, "{}: {shared} of {spent}", fixture.name);
        for line in report.all("gc_assist").iter().filter(|line| is_below(line, "main.often")) {
            assert!(line["created_by"].as_str().is_some_and(|line| line.contains("main.assists")), "{line}");
        }
        let findings = report.all("finding");
        let is_it = |finding: &&Value| finding.to_string().contains("main.often");
        assert!(findings.iter().any(is_it), "{}: {findings:?}", fixture.name);
        println!("{}: {often} and {seldom} of {all} bytes; {shared} of {spent} ns", fixture.name);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
