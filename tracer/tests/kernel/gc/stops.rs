//! Every time that the world was stopped, beside the histograms of runtime/metrics and `MemStats.PauseNs`.

use serde_json::Value;

use super::account::{Account, Bucket};
use super::steady::{ROUNDS, runs};
use super::{Program, gctrace, is_gc, those};
use crate::blocking::Report;
use crate::number;
use crate::support::{fixtures_of, is_emulated};

/// How far apart a duration and the runtime's may be: a twentieth, or 5 µs. Go 1.21 tells it by gotrace's clock only,
/// which reads late where the processor is emulated.
fn allowed(nanos: u64) -> u64 {
    if is_emulated() { (nanos / 5).max(500_000) } else { (nanos / 20).max(5_000) }
}

/// One stop for each duration in the histogram, each in its bucket. None of either is named, so the shortest of one
/// side is the shortest of the other.
fn assert_are(name: &str, buckets: Option<Vec<Bucket>>, field: &str, stops: &[&Value]) {
    let Some(buckets) = buckets else { return };
    assert_eq!(stops.len(), buckets.len(), "{name}: {field}");
    let mut durations: Vec<u64> = stops.iter().map(|stop| number(&stop[field])).collect();
    durations.sort_unstable();
    for (duration, Bucket { from_ns, to_ns, .. }) in durations.into_iter().zip(buckets) {
        let (least, most) = (from_ns.saturating_sub(allowed(from_ns)), to_ns.saturating_add(allowed(to_ns)));
        assert!((least..=most).contains(&duration), "{name}: {field} {duration} is not {from_ns} to {to_ns}");
    }
}

/// All stops of a report beside the histograms; the numbers of the collector's, and of the others.
fn compare(name: &str, [before, after]: [&Account; 2], report: &Report) -> [usize; 2] {
    let of_gc = those(report, "stw", is_gc);
    let others = those(report, "stw", |stop| !is_gc(stop));
    let since = |histogram: &str| after.since(before, histogram);
    assert_are(name, since("/gc/pauses:seconds"), "total_ns", &of_gc);
    assert_are(name, since("/sched/pauses/total/gc:seconds"), "total_ns", &of_gc);
    assert_are(name, since("/sched/pauses/total/other:seconds"), "total_ns", &others);
    assert_are(name, since("/sched/pauses/stopping/gc:seconds"), "stopping_ns", &of_gc);
    assert_are(name, since("/sched/pauses/stopping/other:seconds"), "stopping_ns", &others);
    [of_gc.len(), others.len()]
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn stops_are_as_many_and_as_long_as_the_runtime_counts() {
    for run in runs() {
        let [of_gc, others] = compare(&run.name, [&run.before, &run.after], &run.report);
        assert!(of_gc >= 40 && others >= 40, "{}: {of_gc} {others}", run.name);
        let has = |histogram: &str| run.after.since(&run.before, histogram).is_some();
        assert!(has("/gc/pauses:seconds") && (run.go < 22 || has("/sched/pauses/stopping/other:seconds")));
        for stop in run.report.all("stw") {
            let of = |field: &str| number(&stop[field]);
            let apart = of("total_ns").abs_diff(of("stopping_ns") + of("stopped_ns"));
            assert!(apart <= allowed(of("total_ns")), "{}: {stop}", run.name);
        }
        eprintln!("{}: {of_gc} stops of the collector's, {others} others", run.name);
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn pauses_are_what_the_runtime_sums_up() {
    for run in runs() {
        let cycles = run.report.all("gc");
        let ours: Vec<u64> = cycles.iter().map(|cycle| number(&cycle["pause_ns"])).collect();
        let grown = run.after.pause_total_ns - run.before.pause_total_ns;
        assert_eq!(ours.iter().sum::<u64>(), grown, "{}", run.name);
        let known = run.after.pause_ns.clone().unwrap_or_default();
        let both = known.len().min(ours.len());
        assert_eq!(ours[ours.len() - both..], known[known.len() - both..], "{}", run.name);
        // The same once more from the stops, which are other probes.
        for cycle in cycles {
            let stops = those(&run.report, "stw", |stop| stop["cycle"] == cycle["cycle"]);
            let (sum, pause) =
                (stops.iter().map(|stop| number(&stop["total_ns"])).sum(), number(&cycle["pause_ns"]));
            assert!(pause.abs_diff(sum) <= 2 * allowed(pause), "{}: {cycle} {stops:?}", run.name);
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn who_asked_and_why_is_told() {
    for run in runs() {
        let expect = |reason: &str, function: &str, count: u64| {
            let stops = those(&run.report, "stw", |stop| stop["reason"] == reason);
            let asked = stops.iter().filter(|stop| super::is_below(stop, function)).count() as u64;
            assert_eq!((stops.len() as u64, asked), (count, count), "{}: {reason}: {stops:?}", run.name);
        };
        // The account is one itself.
        expect("read mem stats", "main.main", ROUNDS / 7 + 1);
        // Before Go 1.23 it stops once more, to see how many there are.
        let times = if run.go < 23 { 2 } else { 1 };
        expect("goroutine profile", "main.steady", times * (ROUNDS / 17));
        expect("goroutine profile cleanup", "main.steady", ROUNDS / 17);
        for cycle in run.report.all("gc") {
            let of = |reason: &str| {
                those(&run.report, "stw", |stop| stop["cycle"] == cycle["cycle"] && stop["reason"] == reason)
            };
            let sweep = of("GC sweep termination");
            assert_eq!(sweep.len(), 1, "{}: {cycle}", run.name);
            // Marking goes on once more when somebody had work left.
            assert!(!of("GC mark termination").is_empty(), "{}: {cycle}", run.name);
            let forced = super::is_below(sweep[0], "runtime.GC");
            assert_eq!(cycle["forced"] == true, forced, "{}: {cycle} {sweep:?}", run.name);
            // Whoever allocates may have begun the others.
            assert!(!forced || super::is_below(sweep[0], "main.steady"), "{}: {sweep:?}", run.name);
        }
    }
}

/// A cycle that looks for leaked goroutines goes on marking after it was to end; others do when work comes late.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_cycle_may_stop_the_world_more_often() {
    let mut looked = 0;
    for fixture in fixtures_of("collector") {
        let mut program = Program::start(&fixture, "");
        let (account, report) = program.under_gotrace("leaks 10", &[]);
        let [of_gc, _] = compare(&fixture.name, [&program.ready, &account], &report);
        let cycles = report.all("gc");
        assert_eq!(cycles.len(), 10, "{}: {:?}", fixture.name, report.all("missing"));
        if account.details["looked"] == true {
            assert!(of_gc >= 30, "{}: {of_gc}", fixture.name);
            looked += 1;
        }
        for (cycle, line) in cycles.iter().zip(program.gctrace()) {
            assert_eq!(
                cycle["leaks"],
                line.contains("(checking for goroutine leaks)"),
                "{}: {line}",
                fixture.name
            );
            let (_, _, go_rest) = gctrace::parts(&line);
            assert_eq!(gctrace::of(cycle).2, go_rest, "{}: {cycle}", fixture.name);
        }
    }
    assert!(looked > 0, "no Go here looks for leaked goroutines");
}
