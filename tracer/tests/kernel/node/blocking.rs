//! What running processes are blocked on, told by watching one after the other.

use super::profiles::{Program, copy};
use super::{Agent, select};

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_is_suffered_is_told_by_cause_and_for_how_long_it_was_looked() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy("blocked", folder.path());
    // Each answer comes 50 ms after its question, and nothing else is waited for.
    let _programs = [(); 2].map(|()| Program::start(&path, &["tcp", "1200"], ""));
    let args = [select(std::slice::from_ref(&path)), vec!["--blocking=1s".to_owned()]].concat();
    let agent = Agent::of(&args);
    agent.watches(1.0);
    agent.wait_for("both to be watched", |agent| agent.sum("gotrace_blocking_watched_seconds_total") > 3.5);
    let watched = agent.sum("gotrace_blocking_watched_seconds_total");
    let network = |name: &str, more: &str| -> f64 {
        let samples = agent.samples(&format!("gotrace_blocked_seconds_{name}"));
        let of = |labels: &&String| labels.contains("cause=\"network\"") && labels.contains(more);
        samples.iter().filter(|(labels, _)| of(labels)).map(|(_, value)| value).sum()
    };
    let (count, sum) = (network("count", ""), network("sum", ""));
    // One goroutine of each waits nearly all the time.
    assert!((0.75..1.05).contains(&(sum / watched)), "{sum} s in {watched} s");
    let shorter = |bound: &str| network("bucket", &format!("le=\"{bound}\""));
    // What takes as long as an answer is all of it, nearly.
    let answers = shorter("0.100663295") - shorter("0.010485759");
    assert!((0.05..0.06).contains(&(sum / answers)), "{sum} s, {answers} times");
    assert_eq!(shorter("+Inf"), count);
    assert_eq!(agent.sum("gotrace_blocking_unheard_total"), 0.0);
    assert!(agent.sum("gotrace_collections_cpu_seconds_total") > 0.0);
    agent.end();
}
