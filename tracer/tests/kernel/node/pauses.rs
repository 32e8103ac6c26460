//! What is scraped of stops of the world, beside what the program says of itself.

use super::Agent;
use crate::counters::{Distribution, Program};
use crate::support::{Fixture, fixtures_of};

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
    let told = |fixture: &Fixture| {
        let (mut program, mut said) = Program::start(fixture);
        for step in ["keep 20", "gc", "garbage 20", "procs 1", "gc"] {
            program.tell(step);
            said = program.hear();
        }
        (program, said)
    };
    let all: Vec<_> = fixtures.iter().map(told).collect();
    for (fixture, (program, said)) in fixtures.iter().zip(all) {
        let pid = format!("pid=\"{}\"", program.child.id());
        let of = |name: &str, labels: &[&str]| {
            let all = agent.samples(name);
            let is_it = |told: &str| told.contains(&pid) && labels.iter().all(|label| told.contains(label));
            let mut found = all.iter().filter(|(told, _)| is_it(told));
            let value = found.next().map(|(_, value)| *value);
            assert!(found.next().is_none(), "{}: {all:?}", fixture.name);
            value
        };
        // It is read every five seconds, and at rest now.
        agent.wait_for("the last step", |_| {
            let count = |reason: &str| of("gotrace_stw_seconds_count", &[reason]);
            let stops = [&said.gc, &said.other].map(|all| all.as_ref().map(|all| all.count() as f64));
            of("gotrace_gc_cycles_total", &[]) == Some(said.cycles as f64)
                && [count("reason=\"gc\""), count("reason=\"other\"")] == stops
        });
        for (reason, distribution) in [("reason=\"gc\"", said.gc), ("reason=\"other\"", said.other)] {
            // Go 1.21 has none.
            let Some(Distribution { buckets, .. }) = distribution else { continue };
            assert!(buckets.iter().any(|(_, count)| *count > 0), "{}: {buckets:?}", fixture.name);
            for (end, bound) in BOUNDS {
                let below: u64 =
                    buckets.iter().filter(|(lower, _)| *lower < bound).map(|(_, count)| count).sum();
                let told = of("gotrace_stw_seconds_bucket", &[reason, &format!("le=\"{end}\"")]);
                assert_eq!(told, Some(below as f64), "{}: {reason} up to {end}", fixture.name);
            }
            let least: u64 = buckets.iter().map(|(lower, count)| lower * count).sum();
            let sum = of("gotrace_stw_seconds_sum", &[reason]);
            assert_eq!(sum, Some(least as f64 / 1e9), "{}: {reason}", fixture.name);
        }
    }
    agent.end();
}
