//! What readers of the format need of it, of the reports that the golden files are of.

use super::*;
use crate::export::{blocking_tests, gc, golden_tests, parking};
use crate::units::Nanos;

#[path = "../../../tests/support/trace_event.rs"]
mod check;

fn of_start(report: &Report) -> String {
    let mut out = Vec::new();
    TraceEvent.start(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn of_running(report: &BlockingReport) -> String {
    let mut out = Vec::new();
    TraceEvent.running(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_start_has_its_inits_within_phases_and_waits_within_functions() {
    let text = of_start(&golden_tests::report());
    let trace = check::read(&text);
    let wait = trace.of("wait").next().unwrap();
    assert_eq!((wait.start, wait.end), (1_099_000, 2_899_000), "from execve on");
    let around = ["package_init", "init evil\\u{1b}[2J", "evil.init.0"];
    assert_eq!(wait.within, around, "a name that could steer a terminal is spelt out");
    assert_eq!((&*wait.name, &wait.args["stack"][0]), ("sleep, futex", &"time.Sleep evil.go:1".into()));
    assert_eq!(trace.of("phase").count(), 6);
    assert_eq!(trace.of("library").next().unwrap().name, "libc.so.6");
    let names: Vec<&str> = trace.instants.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["main.main begins", "ready", "openat /etc/evil.conf"]);
    assert_eq!(trace.other["dropped"], 1);
    assert_eq!(trace.other["to_main_ns"], 4_000_000);
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_running_program_has_its_slow_calls_on_their_goroutines() {
    let text = of_running(&blocking_tests::whole());
    let trace = check::read(&text);
    let told: Vec<_> =
        trace.slices.iter().map(|slice| (&*slice.track, &*slice.name, slice.end - slice.start)).collect();
    let made = |goid| format!("goroutine {goid}, made at main.main main.go:20");
    let expected = [
        (&*made(18), "fsync, file /var/lib/\\u{1b}[2J.db", 600_000_000),
        ("goroutine 21", "flock, file /run/app.lock (goes on)", 10_000_000_000),
        ("goroutine 22", "flock, file /run/app.lock (goes on)", 10_000_000_000),
    ];
    for (track, name, nanos) in expected {
        assert!(told.contains(&(track, name, nanos)), "{name} is not in {told:#?}");
    }
    let unknown: Vec<_> = trace.instants.iter().map(|(name, track, at)| (&**name, &**track, *at)).collect();
    let end = 10_000_000_000;
    assert_eq!(
        unknown,
        [
            ("chan receive (goes on, since when is not known)", "goroutine 1, main", end),
            ("IO wait, tcp 127.0.0.1:80 (listening) (goes on, since when is not known)", "goroutine 23", end),
        ]
    );
    let earlier = |track: &str| {
        let mut of_it = trace.slices.iter().filter(|slice| slice.track == track);
        of_it.next().unwrap().args["began_before_ns"].as_u64()
    };
    let began = [earlier("goroutine 21"), earlier("goroutine 22"), earlier(&made(18))];
    assert_eq!(began, [Some(500_000_000), Some(100_000_000), None], "what began before is cut, and says so");
    assert_eq!(trace.other["start_ns"], 1_000_000_000);
    assert_eq!(trace.other["slow_not_shown"], 0);
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn the_collector_has_tracks_and_who_held_the_world_up_an_arrow() {
    let report = BlockingReport { gc: Some(gc::tests::whole()), ..blocking_tests::whole() };
    let trace = check::read(&of_running(&report));
    let cycles: Vec<_> = trace.of("gc").filter(|slice| slice.within.is_empty()).collect();
    let told: Vec<_> = cycles.iter().map(|slice| (&*slice.name, slice.end - slice.start)).collect();
    let [duration, last] = [30_000 + 2_000_000 + 50_000, 30_000 + 400_000_000 + 50_000];
    assert_eq!(
        told,
        [
            ("GC 1 (the heap had grown)", duration),
            ("GC 2 (the heap had grown)", duration),
            ("GC 3 (asked for)", last)
        ]
    );
    assert_eq!(cycles[2].args["heap_goal_bytes"], 17_000_000);
    let stop = trace.of("stw").find(|slice| slice.name == "read mem stats").unwrap();
    assert_eq!((&*stop.track, stop.end - stop.start), ("stop the world", 1_300_000));
    assert_eq!(stop.args["verdict"], "holder");
    let holder = stop.args["held_up_by_goroutine"].as_u64().unwrap();
    let [(from, to)] = &trace.flows[..] else { panic!("{:?}", trace.flows) };
    assert!(from.starts_with(&format!("goroutine {holder}")), "{from}");
    assert!(from.ends_with(": runs while the world is to stop"), "{from}");
    assert_eq!(to, "stop the world: stopped");
    assert_eq!(trace.counters["heap"].len(), 6);
    assert_eq!(trace.counters["heap goal"].last().unwrap().1, 17_000_000);
}

#[test]
fn what_overlaps_on_one_goroutine_is_on_two_tracks_of_it() {
    let mut report = blocking_tests::whole();
    let mut call = report.slow[0].clone();
    call.end = Nanos(call.end.0 + 100);
    report.slow.push(call);
    let trace = check::read(&of_running(&report));
    let name = "goroutine 18, made at main.main main.go:20";
    let of_it: Vec<_> = trace.slices.iter().filter(|slice| slice.track.starts_with(name)).collect();
    let tracks: Vec<&str> = of_it.iter().map(|slice| slice.track.as_str()).collect();
    assert_eq!(tracks, [name, &format!("{name} (2)")]);
    assert_eq!(of_it[0].end - of_it[0].start, of_it[1].end - of_it[1].start);
}

/// A program that has made very many, of which a few are larger than what readers can tell apart.
#[test]
fn a_track_has_its_goroutines_number_where_readers_can_keep_it() {
    for (goids, expected) in [
        ([7, 18], vec![7, 18, 21, 22, 23, 1]),
        ([123_456, 18], vec![123_456, 18, 21, 22, 23, 1]),
        ([u64::MAX, (1 << 31) - 1], vec![(1 << 31) - 1, (1 << 31) + 1, 21, 22, 23, 1]),
    ] {
        let mut report = blocking_tests::whole();
        report.slow.truncate(2);
        for (call, goid) in report.slow.iter_mut().zip(goids) {
            call.call.goid = Some(goid);
        }
        let mut expected: Vec<u64> = expected;
        expected.sort_unstable();
        let text = of_running(&report);
        check::read(&text);
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let named = file["traceEvents"].as_array().unwrap().iter();
        let named = named.filter(|event| event["name"] == "thread_name");
        let mut found: Vec<u64> = named.map(|event| event["tid"].as_u64().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_thread_of_which_nothing_is_known_has_a_track_and_what_is_not_shown_is_counted() {
    let mut report = blocking_tests::whole();
    report.slow[0].call.goid = None;
    report.slow_count = 1_234;
    let trace = check::read(&of_running(&report));
    assert!(trace.slices.iter().any(|slice| slice.track == "thread 43"), "{:?}", trace.slices);
    assert_eq!((&trace.other["slow"], &trace.other["slow_not_shown"]), (&1_234.into(), &1_231.into()));
}

#[test]
fn who_was_woken_has_an_arrow_from_who_did_it() {
    let parking = parking::tests::report(parking::tests::overhead());
    let report = BlockingReport { parking: Some(parking), ..blocking_tests::whole() };
    let text = of_running(&report);
    let trace = check::read(&text);
    let of = |category| trace.of(category).map(|one| (&*one.track, &*one.name, one.start, one.end));
    let waiter = "goroutine 18, made at main.main main.go:20";
    let parked: Vec<_> = of("parked").collect();
    assert_eq!(parked, [(waiter, "parked: chan receive", 1_000_000_000, 1_040_000_000)]);
    let wake: Vec<_> = of("wake").collect();
    let ready = 1_039_999_000;
    assert_eq!(
        wake,
        [
            ("goroutine 1, main", "makes goroutine 18 ready", ready - 1, ready),
            (waiter, "ready", ready, 1_040_000_000)
        ]
    );
    let [(from, to)] = &trace.flows[..] else { panic!("{:?}", trace.flows) };
    assert_eq!(
        (&**from, &**to),
        ("goroutine 1, main: makes goroutine 18 ready", &*format!("{waiter}: ready"))
    );
    let args = &trace.of("parked").next().unwrap().args;
    assert_eq!((&args["ready_ns"], &args["woken_by_goroutine"]), (&1_000.into(), &1.into()));
    assert_eq!(trace.other["wakeups_not_shown"], 0);
}

#[test]
fn what_woke_before_the_trace_has_no_arrow() {
    let parking = parking::tests::report(parking::tests::overhead());
    let began = parking.wakeups[0].ready;
    let report = BlockingReport { parking: Some(parking), began, ..blocking_tests::whole() };
    let trace = check::read(&of_running(&report));
    assert_eq!((trace.of("parked").count(), trace.of("wake").count(), trace.flows.len()), (1, 0, 0));
    // Calls that were over by then have no length on it.
    let over = report.slow.iter().filter(|call| call.end <= began).count();
    assert_eq!(trace.instants.iter().filter(|(_, _, at)| *at == 0).count(), over);
    assert!(over > 0);
}
