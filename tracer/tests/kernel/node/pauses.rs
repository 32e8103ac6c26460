//! What is scraped of stops of the world, beside what the program says of itself.

use super::Agent;
use crate::counters::{Distribution, Program};
use crate::support::fixtures_of;

/// Upper ends in seconds, and in nanoseconds where the next of Go's buckets begins.
const BOUNDS: [(&str, u64); 7] = [
    ("0.000010239", 10_240),
    ("0.000098303", 98_304),
    ("0.001048575", 1_048_576),
    ("0.010485759", 10_485_760),
    ("0.100663295", 100_663_296),
    ("0.939524095", 939_524_096),
    ("+Inf", u64::MAX),
];

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn stops_of_the_world_are_told_by_reason() {
    let fixtures = fixtures_of("counters");
    let select = |path: &std::path::Path| ["--select".to_owned(), format!("exe={}", path.display())];
    let args: Vec<String> = fixtures.iter().flat_map(|fixture| select(&fixture.path)).collect();
    let agent = Agent::of(&args);
    for fixture in &fixtures {
        let (mut program, _) = Program::start(fixture);
        let mut said = None;
        for step in ["keep 20", "gc", "garbage 20", "procs 1", "gc"] {
            program.tell(step);
            said = Some(program.hear());
        }
        let said = said.expect("steps");
        let pid = format!("pid=\"{}\"", program.child.id());
        agent.wait_for("the process", |agent| {
            agent.samples("gotrace_gc_cycles_total").keys().any(|labels| labels.contains(&pid))
        });
        for (reason, distribution) in [("gc", said.gc), ("other", said.other)] {
            let of = |name: &str, more: &str| {
                let reason = format!("reason=\"{reason}\"");
                let all = agent.samples(name);
                let mut found = all
                    .iter()
                    .filter(|(labels, _)| [&pid, &reason, more].iter().all(|label| labels.contains(*label)));
                let value = found.next().map(|(_, value)| *value);
                assert!(found.next().is_none(), "{}: {all:?}", fixture.name);
                value
            };
            let Some(Distribution { buckets, .. }) = distribution else {
                assert_eq!(of("gotrace_stw_seconds_count", ""), None, "{}", fixture.name);
                continue;
            };
            assert!(buckets.iter().any(|(_, count)| *count > 0), "{}: {buckets:?}", fixture.name);
            for (end, bound) in BOUNDS {
                let below: u64 =
                    buckets.iter().filter(|(lower, _)| *lower < bound).map(|(_, count)| count).sum();
                let told = of("gotrace_stw_seconds_bucket", &format!("le=\"{end}\""));
                assert_eq!(told, Some(below as f64), "{}: {reason} up to {end}", fixture.name);
            }
            let least: u64 = buckets.iter().map(|(lower, count)| lower * count).sum();
            let sum = of("gotrace_stw_seconds_sum", "");
            assert_eq!(sum, Some(least as f64 / 1e9), "{}: {reason}", fixture.name);
        }
    }
    agent.end();
}
