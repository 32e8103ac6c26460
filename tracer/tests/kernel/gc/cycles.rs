//! Every cycle, in every column, is what Go itself says of it.

use super::gctrace;
use super::steady::runs;
use crate::number;
use crate::support::is_emulated;

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_column_of_every_cycle_is_as_in_gctrace() {
    for run in runs() {
        run.report.assert_complete(&run.name);
        let cycles = run.report.all("gc");
        let expected = run.after.num_gc - run.before.num_gc;
        assert!(expected >= 20, "{}: only {expected} cycles, which say little", run.name);
        assert_eq!(run.gctrace.len() as u64, expected, "{}: Go's own lines", run.name);
        assert_eq!(cycles.len() as u64, expected, "{}: {:?}", run.name, run.report.all("missing"));
        for (cycle, line) in cycles.iter().zip(&run.gctrace) {
            let (go_number, _) = gctrace::beginning(line);
            let (_, go_percent, go_rest) = gctrace::parts(line);
            let (number, percent, rest) = gctrace::of(cycle);
            let ours = (number, percent.as_str(), rest.as_str());
            assert_eq!(ours, (go_number, go_percent, go_rest), "{}: {cycle}", run.name);
        }
        let forced = cycles.iter().filter(|cycle| cycle["forced"] == true).count() as u64;
        assert_eq!(forced, run.after.num_forced_gc - run.before.num_forced_gc, "{}", run.name);
        eprintln!("{}: {expected} cycles, {forced} forced, equal in every column", run.name);
    }
}

/// Also when the cycle began, which the runtime counts from its own beginning.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn lines_in_gctraces_format_are_gos_to_the_letter() {
    for run in runs() {
        assert_eq!(run.lines, run.gctrace, "{}", run.name);
    }
}

/// On the boot clock the cycles are as far apart as on Go's, which is cut to milliseconds.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn cycles_begin_when_go_says() {
    // Two clocks are read one after the other, and an interrupt may come in between; on an emulated processor the readings
    // are milliseconds apart.
    let room = if is_emulated() { 50_000_000 } else { 1_300_000 };
    for run in runs() {
        let cycles = run.report.all("gc");
        let (first, (_, first_go)) = (number(&cycles[0]["start_ns"]), gctrace::beginning(&run.gctrace[0]));
        for (cycle, line) in cycles.iter().zip(&run.gctrace) {
            let (ours, go) = (number(&cycle["start_ns"]) - first, gctrace::beginning(line).1 - first_go);
            assert!(ours.abs_diff(go * 1_000_000) <= room, "{}: {ours} ns, {go} ms: {cycle}", run.name);
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn why_a_cycle_began_is_known() {
    for run in runs() {
        for cycle in run.report.all("gc") {
            let trigger = if cycle["forced"] == true { "manual" } else { "heap" };
            assert_eq!(cycle["trigger"], trigger, "{}: {cycle}", run.name);
            assert_eq!(
                (&cycle["partial"], &cycle["gc_percent"]),
                (&false.into(), &50.into()),
                "{}",
                run.name
            );
            // Beside what lives there is at least what was allocated since the marking, and the runtime's own.
            let (live, rss) = (number(&cycle["heap_live_bytes"]), cycle["rss_bytes"].as_u64());
            assert!(rss.is_none_or(|rss| rss > live / 2), "{}: {cycle}", run.name);
        }
        let known = run.report.all("gc").iter().filter(|cycle| cycle["rss_bytes"].is_u64()).count();
        assert!(known > 0, "{}: nothing is said of its memory", run.name);
    }
}
