//! What the collector does while a program starts is charged to the phase and the init in which it does it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::gctrace;
use crate::number;
use crate::support::{Traced, fixtures_of, trace};

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn cycles_of_a_start_belong_to_the_init_that_forces_them() {
    for mut fixture in fixtures_of("slowinit") {
        fixture.env.extend(
            [("SLOWINIT", "forcedgc"), ("GODEBUG", "gctrace=1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let traced = trace::<&str>(&fixture, &["--until", "exit"], &[]);
        let stderr = String::from_utf8_lossy(&traced.output.stderr).into_owned();
        let go: BTreeMap<u64, &str> = stderr
            .lines()
            .filter(|line| line.starts_with("gc "))
            .map(|line| (gctrace::beginning(line).0, line))
            .collect();
        assert!(go.len() >= 5, "{}: {stderr}", fixture.name);
        let cycles = traced.all("gc");
        assert_eq!(cycles.len(), go.len(), "{}: {:?}", fixture.name, traced.all("missing"));
        let init = init_of(&traced, "example.com/slowinit/forcedgc");
        let mut forced = 0;
        for cycle in &cycles {
            let (number, percent, rest) = gctrace::of(cycle);
            let (_, go_percent, go_rest) = gctrace::parts(go[&number]);
            assert_eq!((percent.as_str(), rest.as_str()), (go_percent, go_rest), "{}: {cycle}", fixture.name);
            assert_eq!(cycle["partial"], false, "{}: {cycle}", fixture.name);
            if cycle["forced"] == true {
                forced += 1;
                let place = (cycle["phase"].as_str(), cycle["package"].as_str());
                let expected = (Some("package_init"), Some("example.com/slowinit/forcedgc"));
                assert_eq!(place, expected, "{}: {cycle}", fixture.name);
                assert!(init.contains(&crate::number(&cycle["start_ns"])), "{}: {cycle}", fixture.name);
            }
        }
        assert_eq!(forced, 5, "{}", fixture.name);
        // Nobody else allocates, and the list of 30 MB grows while cycles mark it.
        let assisted: u64 = cycles.iter().map(|cycle| number(&cycle["assist_ns"])).sum();
        let told: u64 = traced.all("phase").iter().filter_map(|phase| phase["gc_assist_ns"].as_u64()).sum();
        assert_eq!(told, assisted, "{}: {go:?}", fixture.name);
        assert!(assisted > 0, "{}: {go:?}", fixture.name);
        let charged = number(&init_line(&traced, "example.com/slowinit/forcedgc")["gc_assist_ns"]);
        assert!(charged * 10 > assisted * 9, "{}: {charged} of {assisted}", fixture.name);
    }
}

/// A healthy start has none, and nothing is said of a collector that did nothing.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_start_without_a_cycle_says_nothing_of_one() {
    let fixture = fixtures_of("slowinit").remove(0);
    let traced = trace::<&str>(&fixture, &["--until", "main"], &[]);
    assert!(traced.all("gc").is_empty(), "{:?}", traced.all("gc"));
    assert!(traced.all("missing").is_empty(), "{:?}", traced.all("missing"));
}

/// When an init ran.
fn init_of(traced: &Traced, package: &str) -> std::ops::Range<u64> {
    let init = init_line(traced, package);
    let start = number(&init["start_ns"]);
    start..start + number(&init["wall_ns"])
}

fn init_line<'a>(traced: &'a Traced, package: &str) -> &'a Value {
    traced.all("init").into_iter().find(|init| init["package"] == package).expect("its init")
}
