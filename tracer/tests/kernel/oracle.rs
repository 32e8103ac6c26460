//! What gotrace says, beside what Go itself says of the same run.

use serde_json::Value;

use crate::support::{
    Fixture, Traced, fixture, fixtures, fixtures_of, inittrace, is_emulated, nethttp, trace,
};
use crate::{WHOLE, number};

/// Runs a fixture with its own arguments and with Go's own account of its inits.
fn trace_beside_inittrace(fixture: &Fixture, options: &[&str]) -> Traced {
    let mut with_oracle = fixture.clone();
    with_oracle.env.insert("GODEBUG".to_owned(), "inittrace=1".to_owned());
    trace(&with_oracle, options, &fixture.args)
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_programs_inits_are_the_ones_that_go_itself_names_in_order() {
    let odd = ["exitininit", "killininit", "execininit"];
    for fixture in fixtures().iter().filter(|fixture| !odd.contains(&fixture.program.as_str())) {
        let traced = trace_beside_inittrace(fixture, &[]);
        let oracle: Vec<String> =
            inittrace(&traced.output.stderr).into_iter().map(|init| init.package).collect();
        assert!(!oracle.is_empty(), "{}: Go names no init", fixture.name);
        assert_eq!(traced.packages(), oracle, "{}", fixture.name);
        traced.assert_complete(&fixture.name);
        assert_eq!(traced.phases(), WHOLE, "{}", fixture.name);
        assert_eq!(traced.output.status.code(), Some(0), "{}", fixture.name);
        eprintln!("{}: {} inits, as Go names them", fixture.name, oracle.len());
    }
}

/// Runs without the oracle agree with runs that have it: the packages do not depend on GODEBUG.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_same_inits_are_seen_without_the_oracle() {
    let fixture = nethttp();
    assert_eq!(
        trace(&fixture, &[], &fixture.args).packages(),
        trace_beside_inittrace(&fixture, &[]).packages()
    );
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_time_of_slow_inits_is_what_go_itself_measures() {
    const RUNS: usize = 5;
    let fixture = fixture("initsleep");
    let mut ratios: std::collections::BTreeMap<String, Vec<f64>> = std::collections::BTreeMap::new();
    for _ in 0..RUNS {
        let traced = trace_beside_inittrace(&fixture, &[]);
        let ours = traced.all("init");
        for (ours, oracle) in ours.iter().zip(inittrace(&traced.output.stderr)) {
            assert_eq!(ours["package"], oracle.package);
            // These take their time by the clock. How long the others take depends on what else runs, and so
            // does how much of Go's printing, which is inside the call, adds to what we see of a short one.
            if oracle.package.starts_with("example.com/initsleep/") {
                assert!(oracle.milliseconds >= 1.0, "{oracle:?}");
                #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
                let milliseconds = number(&ours["wall_ns"]) as f64 / 1e6;
                ratios.entry(oracle.package).or_default().push(milliseconds / oracle.milliseconds);
            }
        }
    }
    assert_eq!(ratios.len(), 3, "initsleep has three slow packages: {ratios:?}");
    // Go prints its line inside the call: of 2 ms, on an emulated processor, that is a tenth by itself.
    let most = if is_emulated() { 1.5 } else { 1.1 };
    for (package, mut ratios) in ratios {
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        assert!((0.9..=most).contains(&median), "{package}: {median} of inittrace's time, {ratios:?}");
        eprintln!("{package}: {median:.4} of inittrace's time");
    }
}

/// Go counts what the main goroutine allocates in an init, and we what all do, so ours is never less; it is more
/// only where another goroutine, or a thread of the runtime, allocates as well.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn allocations_are_those_that_go_itself_counts() {
    for fixture in fixtures_of("nethttp") {
        let traced = trace_beside_inittrace(&fixture, &["--heap"]);
        traced.assert_complete(&fixture.name);
        let (ours, oracle) = (traced.all("init"), inittrace(&traced.output.stderr));
        assert_eq!(ours.len(), oracle.len(), "{}", fixture.name);
        let (mut equal, mut goroutines, mut runtime_is_over) = (0, 0, false);
        for (ours, oracle) in ours.iter().zip(&oracle) {
            assert_eq!(ours["package"], oracle.package, "{}", fixture.name);
            let (allocs, bytes) = (ours["allocs"].as_u64(), ours["bytes"].as_u64());
            // They are not counted of Go 1.19; there may have been some.
            let started = if fixture.is_of_go_1_19() { 1 } else { number(&ours["goroutines_started"]) };
            goroutines += started;
            if (allocs, bytes) == (Some(oracle.allocs), Some(oracle.bytes)) {
                equal += 1;
            } else {
                let more = |ours: Option<u64>, go: u64| ours.and_then(|ours| ours.checked_sub(go));
                let more = more(allocs, oracle.allocs).zip(more(bytes, oracle.bytes));
                let is_explained = match more {
                    // It lost the race with another thread's cache, which only goroutines can make it run.
                    None => allocs.is_none() && goroutines > 0,
                    Some(_) if started > 0 || !runtime_is_over => true,
                    // What an earlier init's goroutine needs to park (`sudog`), or a thread to run it (`m`, its
                    // `g0` and `gsignal`).
                    Some((allocs, bytes)) => goroutines > 0 && allocs <= 8 && bytes <= 8 << 10,
                };
                assert!(is_explained, "{}: {ours} {oracle:?}", fixture.name);
            }
            // Before, the runtime starts its own threads.
            runtime_is_over |= oracle.package == "runtime";
        }
        assert!(equal * 10 >= oracle.len() * 9, "{}: {equal} of {} are equal", fixture.name, oracle.len());
        eprintln!("{}: {equal} of {} inits allocate to the byte what Go counts", fixture.name, oracle.len());
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn allocations_are_counted_only_when_asked_for() {
    let fixture = nethttp();
    for init in trace(&fixture, &[], &fixture.args).all("init") {
        assert!(init["allocs"].is_null() && init["bytes"].is_null(), "{init}");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_phases_follow_each_other_without_a_gap() {
    let fixture = nethttp();
    let traced = trace(&fixture, &[], &fixture.args);
    let header = &traced.lines[0];
    assert_eq!((&header["type"], &header["schema"]), (&Value::from("header"), &Value::from(1)));
    let phases = traced.all("phase");
    let mut at = number(&header["start_ns"]);
    for phase in &phases {
        assert_eq!(number(&phase["start_ns"]), at, "{phase}");
        at += number(&phase["duration_ns"]);
        assert_eq!(phase["done"], true, "{phase}");
    }
    let to_main = number(&traced.summary()["to_main_ns"]);
    let before_main: u64 = phases[..5].iter().map(|phase| number(&phase["duration_ns"])).sum();
    assert_eq!(to_main, before_main);
    let schedinit = &phases[2]["steps"][0];
    assert_eq!(schedinit["name"], "schedinit");
    assert!(number(&schedinit["duration_ns"]) < number(&phases[2]["duration_ns"]));

    // main.main is where the program itself says it is: it prints its wall clock there.
    let stdout = String::from_utf8(traced.output.stdout.clone()).unwrap();
    let said: u64 = stdout.trim().strip_prefix("main.main unix_ns=").expect("its own word").parse().unwrap();
    let ours = number(&header["wall_clock_unix_ns"]) + to_main;
    let apart = said.abs_diff(ours);
    assert!(apart < 50_000_000, "the program says {apart} ns apart from us");
}
