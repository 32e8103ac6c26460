//! The lines of `GODEBUG=gctrace=1`, and one of gotrace's in the same words (runtime/mgc.go, `gcMarkTermination`).

use serde_json::Value;

use crate::number;

/// A line in three parts: the cycle's number and when it began, which are before `s `; the processor's share in
/// percent; the rest.
pub(super) fn parts(line: &str) -> (&str, &str, &str) {
    let parts = || {
        let (begin, rest) = line.split_once("s ")?;
        let (percent, rest) = rest.split_once('%')?;
        // From Go 1.26 on a cycle may do something else besides, which is said here.
        let rest = rest.strip_prefix(" (checking for goroutine leaks)").unwrap_or(rest).strip_prefix(": ")?;
        Some((begin, percent, rest))
    };
    parts().unwrap_or_else(|| panic!("no line of gctrace: {line}"))
}

/// The number of the cycle, and when it began, in milliseconds since the runtime did.
pub(super) fn beginning(line: &str) -> (u64, u64) {
    let beginning = || {
        let (cycle, at) = parts(line).0.strip_prefix("gc ")?.split_once(" @")?;
        Some((cycle.parse().ok()?, at.replace('.', "").parse().ok()?))
    };
    beginning().unwrap_or_else(|| panic!("no line of gctrace: {line}"))
}

/// A `gc` line as Go would write it, but for when it began: that is on another clock.
pub(super) fn of(cycle: &Value) -> (u64, String, String) {
    let of = |field: &str| number(&cycle[field]);
    let ms = |field: &str| milliseconds(of(field));
    let mb = |field: &str| of(field) >> 20;
    let fraction = cycle["gc_cpu_fraction"].as_f64().unwrap_or_else(|| panic!("no fraction: {cycle}"));
    let rest = format!(
        "{}+{}+{} ms clock, {}+{}/{}/{}+{} ms cpu, {}->{}->{} MB, {} MB goal, {} MB stacks, {} MB globals, {} P{}",
        ms("stw_sweep_term_ns"),
        ms("mark_ns"),
        ms("stw_mark_term_ns"),
        ms("stw_sweep_term_cpu_ns"),
        ms("assist_ns"),
        milliseconds(of("dedicated_ns") + of("fractional_ns")),
        ms("idle_ns"),
        ms("stw_mark_term_cpu_ns"),
        mb("heap_start_bytes"),
        mb("heap_end_bytes"),
        mb("heap_marked_bytes"),
        mb("heap_goal_bytes"),
        mb("stack_scan_bytes"),
        mb("globals_scan_bytes"),
        of("procs"),
        if cycle["forced"] == true { " (forced)" } else { "" },
    );
    (of("cycle"), format!("{:.0}", (fraction * 100.0).floor()), rest)
}

/// Go's `fmtNSAsMS`: whole milliseconds from ten on, else two digits and at most three decimal places.
fn milliseconds(nanos: u64) -> String {
    if nanos >= 10_000_000 {
        return (nanos / 1_000_000).to_string();
    }
    let (mut figure, mut decimals) = (nanos / 1000, 3);
    if figure == 0 {
        return "0".to_owned();
    }
    while figure >= 100 {
        figure /= 10;
        decimals -= 1;
    }
    let one = 10_u64.pow(decimals);
    format!("{}.{:0>width$}", figure / one, figure % one, width = decimals as usize)
}

#[test]
fn durations_are_written_as_go_writes_them() {
    let written =
        [999, 1_000, 54_321, 100_000, 999_999, 1_000_000, 5_432_100, 9_999_999, 10_000_000, 123_456_789]
            .map(milliseconds);
    assert_eq!(written, ["0", "0.001", "0.054", "0.10", "0.99", "1.0", "5.4", "9.9", "10", "123"]);
}

#[test]
fn a_line_is_taken_apart() {
    let line = "gc 2 @0.054s 1%: 0.20+0.51+0.002 ms clock, 0.40+0.11/0.41/0.02+0.005 ms cpu, 4->4->1 MB, 4 MB goal, \
                0 MB stacks, 0 MB globals, 2 P (forced)";
    assert_eq!(beginning(line), (2, 54));
    assert_eq!(beginning("gc 11 @12.345s 0%: x"), (11, 12_345));
    assert_eq!(parts("gc 1 @0.001s 2% (checking for goroutine leaks): x"), ("gc 1 @0.001", "2", "x"));
    assert_eq!((parts(line).1, &line[line.len() - parts(line).2.len()..]), ("1", parts(line).2));
    let cycle = serde_json::json!({
        "type": "gc", "cycle": 2, "forced": true, "gc_cpu_fraction": 0.0199,
        "stw_sweep_term_ns": 204_000, "mark_ns": 512_345, "stw_mark_term_ns": 2_100,
        "stw_sweep_term_cpu_ns": 408_000, "assist_ns": 110_000, "dedicated_ns": 400_000, "fractional_ns": 10_000,
        "idle_ns": 20_999, "stw_mark_term_cpu_ns": 5_900,
        "heap_start_bytes": 4_200_000, "heap_end_bytes": 4 << 20, "heap_marked_bytes": (2 << 20) - 1,
        "heap_goal_bytes": 4 << 20, "stack_scan_bytes": 4096, "globals_scan_bytes": 100, "procs": 2,
    });
    let (number, percent, rest) = of(&cycle);
    let (begin, of_go, rest_of_go) = parts(line);
    assert_eq!((format!("gc {number} @0.054").as_str(), percent.as_str()), (begin, of_go));
    assert_eq!(rest.replace("/0.020+", "/0.02+"), rest_of_go);
}
