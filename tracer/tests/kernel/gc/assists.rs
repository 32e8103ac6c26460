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
        let sum = |lines: &[&Value], field: &str| lines.iter().map(|line| number(&line[field])).sum::<u64>();
        let of = |function: &str| those(&report, "gc_assist", |line| is_below(line, function));
        let (often, seldom) = (of("main.often"), of("main.seldom"));
        let time = |lines: &[&Value]| sum(lines, "cpu_ns");
        let all = time(&report.all("gc_assist"));
        let allocated = |function: &str| number(&account.details[function]);
        let expected = share(allocated("main.often"), allocated("main.often") + allocated("main.seldom"));
        // Each time is for as much as was allocated since the last one; how long it takes is up to the machine.
        let (count, beside) = (sum(&often, "count"), sum(&seldom, "count"));
        assert!((share(count, count + beside) - expected).abs() < 0.1, "{}: {count} {beside}", fixture.name);
        let (often, seldom) = (time(&often), time(&seldom));
        assert!(often > seldom && seldom > 0, "{}: {often} {seldom}", fixture.name);
        assert!(share(often + seldom, all) > 0.9, "{}: {:?}", fixture.name, report.all("gc_assist"));
        // The runtime's own sum.
        let spent: u64 = report.all("gc").iter().map(|cycle| number(&cycle["assist_ns"])).sum();
        assert!(spent > 0 && all.abs_diff(spent) <= spent / 1000, "{}: {all} of {spent}", fixture.name);
        for line in report.all("gc_assist").iter().filter(|line| is_below(line, "main.often")) {
            assert!(line["created_by"].as_str().is_some_and(|line| line.contains("main.assists")), "{line}");
        }
        let findings = report.all("finding");
        let is_it = |finding: &&Value| finding.to_string().contains("main.often");
        assert!(findings.iter().any(is_it), "{}: {findings:?}", fixture.name);
        eprintln!("{}: {often} and {seldom} of {all} ns, Go says {spent}", fixture.name);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
