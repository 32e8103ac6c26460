//! From records that a runtime made by hand has written to what is told of them.

use proptest::prelude::*;

use super::super::crafted::{
    AHEAD, Crafted, FORCE, GC_START, MAIN, MALLOC, READ, Runtime, SPIN, STOP, Spec, WORK, holder, stack,
    stop, timeline,
};
use super::super::{IncidentKind, Surroundings, Verdict};
use super::*;
use crate::event::blocking::StackTaken;
use crate::event::gc::{Holder, Stop};

const SECOND: u64 = 1_000_000_000;

fn history(runtime: &Runtime) -> GcHistory {
    GcHistory::new(runtime.layout, Nanos(SECOND + AHEAD))
}

fn report_of(history: &GcHistory, assists: &[Assist], throttled: Option<Nanos>) -> GcReport {
    let stacks = [(1, stack(&[MALLOC, WORK])), (2, stack(&[MALLOC, MAIN]))].into();
    let tables = Tables { stacks, ..Tables::default() };
    GcReport::of(GcInput { assists, throttled, ..input(history, &tables) })
}

fn input<'a>(history: &'a GcHistory, stacks: &'a Tables) -> GcInput<'a> {
    GcInput {
        history,
        began: Nanos(SECOND + AHEAD),
        ended: Nanos(11 * SECOND + AHEAD),
        slow_from: Nanos(1_000_000),
        assists: &[],
        assists_before: &[],
        stacks,
        throttled: None,
        runtime_init: Some(Nanos(500_000_000)),
        gc_percent: None,
        module: None,
        missing: Vec::new(),
        blocking: None,
        symbols: &Crafted,
    }
}

fn noted(history: &mut GcHistory, stop: &Stop) {
    history.note_stop(Nanos(stop.monotonic.0 + AHEAD), stop);
}

/// One stop for something else than the collector.
fn told_of(stop: &Stop) -> GcReport {
    let mut history = history(&Runtime::new());
    noted(&mut history, stop);
    report_of(&history, &[], None)
}

fn ids(report: &GcReport) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.id).collect()
}

#[test]
fn cycles_are_told_with_their_stops_on_the_boot_clock() {
    let mut runtime = Runtime::new();
    let mut history = history(&runtime);
    let begin = Spec::at(SECOND - 1_000_000);
    runtime.run(&mut history, &begin);
    runtime.run(&mut history, &Spec { forced: true, ..Spec::at(3 * SECOND) });
    let report = report_of(&history, &[], None);
    assert_eq!(report.refused, None);
    let [first, second] = &report.cycles[..] else { panic!("{:?}", report.cycles) };
    assert!(first.cycle.partial && !second.cycle.partial);
    assert_eq!(first.cycle.start, Nanos(begin.start + AHEAD));
    assert_eq!((first.trigger, second.trigger), (Some(Trigger::Heap), Some(Trigger::Manual)));
    // The stop that began the first is not of the span.
    let [before, sweep, mark] = &report.stops[..] else { panic!("{:?}", report.stops) };
    assert_eq!((before.cycle, sweep.cycle, mark.cycle), (Some(1), Some(2), Some(2)));
    // From where it was asked for, 1 µs after tSweepTerm, to tMark.
    assert_eq!((sweep.total, sweep.stopping), (Some(Nanos(29_000)), Some(Nanos(5_000))));
    assert_eq!((mark.total, mark.stopped()), (Some(Nanos(49_000)), Some(Nanos(44_000))));
    assert!(!sweep.total_is_estimated && sweep.start == Some(Nanos(3 * SECOND + 1_000 + AHEAD)));
    assert_eq!(before.end(), Nanos(begin.end() + AHEAD));
    let sums = &report.totals.stops["GC"];
    assert_eq!((sums.count, sums.longest), (3, Nanos(49_000)));
    assert_eq!(report.totals.pause, Nanos(2 * 78_000));
    assert_eq!((report.longest_stop(), report.slow_stops()), (Nanos(50_000), 0));
    assert_eq!(ids(&report), Vec::<&str>::new());
}

#[test]
fn a_cycle_after_two_minutes_is_periodic_and_one_whose_begin_was_not_seen_is_unknown() {
    let mut runtime = Runtime::new();
    let mut history = history(&runtime);
    let spec = Spec::at(2 * SECOND);
    let sweep = Stop { stack: stack(&[STOP, GC_START, FORCE]), ..stop(2, spec.start + 1, 10) };
    noted(&mut history, &sweep);
    for spec in [spec, Spec::at(3 * SECOND)] {
        let cycle = runtime.cycle(&spec);
        history.note_cycle(Nanos(cycle.monotonic.0 + AHEAD), &cycle, Surroundings::default());
    }
    let triggers: Vec<_> = report_of(&history, &[], None).cycles.iter().map(|told| told.trigger).collect();
    assert_eq!(triggers, [Some(Trigger::Periodic), None]);
}

#[test]
fn cycles_that_are_missed_are_counted() {
    let mut runtime = Runtime::new();
    let mut history = history(&runtime);
    for time in 2..8 {
        let cycle = runtime.cycle(&Spec::at(time * SECOND));
        if !(4..=5).contains(&time) {
            history.note_cycle(Nanos(cycle.monotonic.0 + AHEAD), &cycle, Surroundings::default());
        }
    }
    let report = report_of(&history, &[], None);
    assert_eq!((report.refused.as_deref(), report.totals.cycles, report.totals.missed), (None, 4, 2));
}

#[test]
fn a_contradiction_leaves_nothing_but_its_reason() {
    let mut runtime = Runtime::new();
    let mut history = history(&runtime);
    runtime.run(&mut history, &Spec::at(2 * SECOND));
    let mut cycle = runtime.cycle(&Spec::at(3 * SECOND));
    cycle.stats[2] += 1;
    history.note_cycle(Nanos(4 * SECOND), &cycle, Surroundings::default());
    runtime.run(&mut history, &Spec::at(5 * SECOND));
    let report = report_of(&history, &[], None);
    assert!(report.cycles.is_empty() && report.stops.is_empty() && report.heap.is_none());
    let reason = report.refused.unwrap();
    assert!(reason.starts_with("in cycle 2 work.tEnd is 3002080000, and memstats.last_gc"), "{reason}");
    assert!(report.missing[0].reason.contains(&reason));
}

#[test]
fn words_that_are_no_records_are_refused_and_not_believed() {
    let runtime = Runtime::new();
    // Not even where nothing contradicts anything.
    for word in [0, 1, u64::MAX, 1 << 32, 0x7ff8_0000_0000_0000] {
        for length in [0, 1, 40] {
            let mut history = history(&runtime);
            let (work, controller, stats) = (vec![word; length], vec![word; length], vec![word; length]);
            let (monotonic, pause_total) = (Nanos(word), Nanos(word));
            let cycle =
                crate::event::gc::Cycle { monotonic, goid: None, pause_total, work, controller, stats };
            history.note_cycle(Nanos(2 * SECOND), &cycle, Surroundings::default());
            assert!(history.refused().is_some(), "{word:x} {length}");
        }
    }
}

#[test]
fn what_is_kept_is_bounded_and_the_sums_have_all() {
    let mut runtime = Runtime::new();
    let mut history = history(&runtime);
    for time in 0..40_000 {
        runtime.run(&mut history, &Spec { mark: 100_000, ..Spec::at(2 * SECOND + time * 200_000) });
    }
    let report = report_of(&history, &[], None);
    assert_eq!((report.totals.cycles, report.totals.stops["GC"].count), (40_000, 80_000));
    assert_eq!(report.totals.cycles - report.cycles.len() as u64, report.totals.untold_cycles);
    assert_eq!(report.totals.stops["GC"].count - report.stops.len() as u64, report.totals.untold_stops);
    assert!(report.totals.untold_cycles > 0 && report.totals.untold_stops > 0);
    history.begin_anew();
    assert_eq!(report_of(&history, &[], None).totals, Totals::default());
    // What comes next is still compared with what came last.
    runtime.run(&mut history, &Spec::at(10 * SECOND + SECOND / 2));
    assert_eq!(report_of(&history, &[], None).totals.cycles, 1);
}

#[test]
fn a_cycle_that_a_report_cuts_still_knows_who_began_it() {
    let mut runtime = Runtime::new();
    let mut history = history(&runtime);
    runtime.run(&mut history, &Spec::at(2 * SECOND));
    let spec = Spec::at(3 * SECOND);
    noted(&mut history, &Stop { stack: stack(&[STOP, GC_START, FORCE]), ..stop(2, spec.start + 1, 10) });
    history.begin_anew();
    assert_eq!(history.stops.len(), 1);
    let cycle = runtime.cycle(&spec);
    history.note_cycle(Nanos(cycle.monotonic.0 + AHEAD), &cycle, Surroundings::default());
    assert_eq!(report_of(&history, &[], None).cycles[0].trigger, Some(Trigger::Periodic));
}

/// The incident of a stop that was asked for by ReadMemStats and took 5 ms, nearly all of it to come.
fn held_up(seen: Option<Holder>) -> (Verdict, String) {
    let held = Stop { holder: seen, total: Some(Nanos(5_100_000)), ..stop(7, 2 * SECOND, 5_000_000) };
    let report = told_of(&held);
    let [incident] = &report.incidents[..] else { panic!("{:?}", report.incidents) };
    assert_eq!((incident.kind, incident.duration), (IncidentKind::Stop, Nanos(5_100_000)));
    (incident.verdict, incident.text.clone())
}

#[test]
fn the_verdict_of_a_stop_is_by_what_its_holder_did() {
    let one = |change: fn(&mut Holder)| {
        let mut holder = holder(&[SPIN, MAIN]);
        change(&mut holder);
        held_up(Some(holder))
    };
    let (verdict, text) = one(|holder| (holder.on_cpu, holder.runnable) = (9, 1));
    assert_eq!(verdict, Verdict::Holder);
    assert!(text.contains("goroutine 9 at main.spin"), "{text}");
    assert!(text.contains("ran on a CPU and did not yield, at 9 of 10 looks"), "{text}");
    assert_eq!(one(|holder| (holder.on_cpu, holder.runnable) = (2, 8)).0, Verdict::Starvation);
    assert_eq!(one(|holder| holder.disk = 10).0, Verdict::Blocking);
    assert_eq!(one(|holder| holder.sleeping = 10).0, Verdict::Blocking);
    assert_eq!(one(|_| ()).0, Verdict::Unknown);
    assert_eq!(held_up(None).0, Verdict::Unknown);
}

#[test]
fn a_world_that_stood_still_is_its_askers_doing() {
    let asked = |reason| {
        let stack = stack(&[STOP, READ, MAIN]);
        let report =
            told_of(&Stop { total: Some(Nanos(5_000_000)), stack, ..stop(reason, 2 * SECOND, 10_000) });
        (report.incidents[0].verdict, report.incidents[0].text.clone())
    };
    let (verdict, text) = asked(7);
    assert_eq!(verdict, Verdict::Unrelated);
    assert!(text.contains("which at main.main main.go:13 asked for"), "{text}");
    assert_eq!(asked(1).0, Verdict::Gc);
}

#[test]
fn a_cycle_is_judged_by_assists_and_by_throttling() {
    let verdict = |change: fn(&mut Spec)| {
        let mut runtime = Runtime::new();
        let mut history = history(&runtime);
        runtime.run(&mut history, &Spec { mark: 100_000, ..Spec::at(2 * SECOND) });
        let mut spec = Spec { mark: 50_000_000, ..Spec::at(3 * SECOND) };
        change(&mut spec);
        runtime.run(&mut history, &spec);
        let report = report_of(&history, &[], None);
        let [incident] = &report.incidents[..] else { panic!("{:?}", report.incidents) };
        (incident.verdict, incident.text.clone())
    };
    assert_eq!(verdict(|_| ()).0, Verdict::Unrelated);
    assert!(verdict(|_| ()).1.ends_with("nobody is known to have waited for it"));
    assert_eq!(verdict(|spec| spec.assist = 20_000_000).0, Verdict::Gc);
    assert_eq!(verdict(|spec| spec.assist = 2_000_000).0, Verdict::Unrelated);
    let (forced, text) = verdict(|spec| spec.forced = true);
    assert_eq!(forced, Verdict::Gc);
    assert!(text.ends_with("who asked for it at main.work main.go:12 waited"), "{text}");
    let (verdict, text) = verdict(|spec| spec.around.throttled = Some(Nanos(30_000_000)));
    assert_eq!(verdict, Verdict::Starvation);
    assert!(text.contains("held the program's threads back for 30.00 ms"), "{text}");
}

#[test]
fn a_cycle_that_is_a_stop_for_the_most_part_is_judged_as_that() {
    let mut runtime = Runtime::new();
    let mut history = history(&runtime);
    let spec = Spec { mark_term: 9_000_000, ..Spec::at(2 * SECOND) };
    let seen = Holder { on_cpu: 10, ..holder(&[SPIN, MAIN]) };
    noted(&mut history, &stop(2, spec.start + 1_000, 9_000));
    let held = stop(1, spec.end() - spec.mark_term + 1_000, 8_900_000);
    noted(&mut history, &Stop { holder: Some(seen), ..held });
    let cycle = runtime.cycle(&spec);
    history.note_cycle(Nanos(cycle.monotonic.0 + AHEAD), &cycle, Surroundings::default());
    let report = report_of(&history, &[], None);
    let verdicts: Vec<_> = report.incidents.iter().map(|one| (one.kind, one.verdict)).collect();
    assert_eq!(verdicts, [(IncidentKind::Cycle, Verdict::Holder), (IncidentKind::Stop, Verdict::Holder)]);
    assert_eq!(report.incidents[0].site, report.incidents[1].site);
}

#[test]
fn a_limit_that_the_heap_has_reached_is_found() {
    let thrash = |limit, mark, percent| {
        let mut runtime = Runtime::new();
        let mut history = history(&runtime);
        for time in 0..100 {
            let spec = Spec {
                mark,
                dedicated: if percent == 60 { 1_000 } else { mark / 2 },
                idle: 0,
                goal: 4_200_000,
                limit,
                percent,
                ..Spec::at(2 * SECOND + time * 80_000_000)
            };
            runtime.run(&mut history, &spec);
        }
        ids(&report_of(&history, &[], None))
    };
    assert_eq!(thrash(12 << 20, 70_000_000, 100), ["gc_thrash"]);
    assert_eq!(thrash(12 << 20, 70_000_000, -1), ["gc_thrash"]);
    // Back to back, on little CPU time.
    assert_eq!(thrash(12 << 20, 70_000_000, 60), ["gc_thrash"]);
    // A limit that is reached is no harm when it costs little, and without one it is no limit's.
    assert_eq!(thrash(12 << 20, 1_000_000, 100), Vec::<&str>::new());
    assert_eq!(thrash(crate::model::gc::NO_LIMIT, 70_000_000, 100), Vec::<&str>::new());
}

#[test]
fn who_asks_for_cycles_and_stops_is_found() {
    let mut runtime = Runtime::new();
    let mut history = history(&runtime);
    for time in 0..5 {
        runtime.run(&mut history, &Spec { forced: true, ..Spec::at(2 * SECOND + time * SECOND) });
    }
    for time in 0..20 {
        let stack = stack(&[STOP, READ, MAIN]);
        noted(
            &mut history,
            &Stop { stack, total: Some(Nanos(40_000)), ..stop(7, 7 * SECOND + time * 1_000_000, 9_000) },
        );
    }
    let report = report_of(&history, &[], None);
    assert_eq!(ids(&report), ["gc_forced", "frequent_stops"]);
    let places: Vec<_> =
        report.findings.iter().map(|finding| &*finding.place.as_ref().unwrap().function).collect();
    assert_eq!(places, ["main.work", "main.main"]);
    assert!(report.findings[1].advice.contains("runtime/metrics"));
}

#[test]
fn a_place_that_holds_stops_up_again_is_found() {
    let mut history = history(&Runtime::new());
    for time in 2..5 {
        let seen = Holder { on_cpu: 10, ..holder(&[SPIN, MAIN]) };
        noted(&mut history, &Stop { holder: Some(seen), ..stop(7, time * SECOND, 3_000_000) });
    }
    let report = report_of(&history, &[], Some(Nanos(2 * SECOND)));
    assert_eq!(ids(&report), ["cpu_throttled", "holds_up_stops"]);
    assert!(report.findings[1].text.contains("3 times when it was to stop, for 9.00 ms"));
}

#[test]
fn assists_are_put_together_by_line() {
    let mut runtime = Runtime::new();
    let mut history = history(&runtime);
    runtime.run(&mut history, &Spec { assist: 600_000_000, mark: 700_000_000, ..Spec::at(2 * SECOND) });
    let assist = |stack, gopc: u64, time| Assist {
        stack: StackTaken::Taken(stack),
        gopc: Some(RuntimeAddr(gopc)),
        count: 10,
        time: Nanos(time),
    };
    let assists = [assist(1, 1000, 300_000_000), assist(2, 1000, 150_000_000), assist(1, 1100, 150_000_000)];
    let report = report_of(&history, &assists, None);
    let told: Vec<_> =
        report.assist_sites().iter().map(|site| (site.count, site.cpu.0 / 1_000_000)).collect();
    assert_eq!(told, [(20, 450), (10, 150)]);
    assert_eq!(ids(&report), ["gc_assists", "gc_assists"]);
    // What was there before the span is not of it.
    let stacks = Tables::default();
    let mut stacks = Stacks::new(&stacks, &Crafted);
    assert_eq!(sites(&assists, &assists, &mut stacks, None), []);
}

#[test]
fn cycles_of_a_start_are_charged_to_where_most_of_them_lies() {
    let mut runtime = Runtime::new();
    let mut history = history(&runtime);
    let tenth = SECOND / 10;
    // In tenths of a second: before everything, across a and b, of which b has more, beside the inits, in main, and
    // long behind what was seen of main.
    for (start, mark) in [(14, 1), (23, 5), (31, 2), (36, 1), (90, 1)] {
        runtime.run(&mut history, &Spec { mark: mark * tenth, ..Spec::at(start * tenth) });
    }
    let report = report_of(&history, &[], None).charged(&timeline());
    let charged: Vec<_> = report
        .cycles
        .iter()
        .map(|told| told.charged.as_ref().map(|charged| (charged.phase.name(), charged.package.as_deref())))
        .collect();
    assert_eq!(
        charged,
        [
            Some(("runtime_bootstrap", None)),
            Some(("package_init", Some("b\u{1b}"))),
            Some(("package_init", None)),
            Some(("main", None)),
            Some(("main", None)),
        ]
    );
}

proptest! {
    #[test]
    fn whatever_the_words_are_nothing_breaks(
        words in prop::collection::vec((0_usize..95, any::<u64>()), 0..4),
        times in prop::array::uniform6(prop_oneof![any::<u64>(), Just(2 * SECOND), Just(u64::MAX), Just(0)]),
        reason in 0_u32..20,
    ) {
        let mut runtime = Runtime::new();
        let mut history = history(&runtime);
        runtime.run(&mut history, &Spec::at(2 * SECOND));
        let [monotonic, started, finished, total, noted, cycle_noted] = times;
        let some = |time: u64| (time != 0).then_some(Nanos(time));
        let hostile = Stop {
            monotonic: Nanos(monotonic),
            started: some(started),
            finished: some(finished),
            total: some(total),
            holder: Some(holder(&[SPIN])),
            ..stop(reason, 0, 0)
        };
        history.note_stop(Nanos(noted), &hostile);
        let mut cycle = runtime.cycle(&Spec::at(3 * SECOND));
        for (index, value) in words {
            let all = cycle.work.iter_mut().chain(&mut cycle.controller).chain(&mut cycle.stats).chain([
                &mut cycle.pause_total.0,
                &mut cycle.monotonic.0,
            ]);
            if let Some(word) = all.into_iter().nth(index) {
                *word = value;
            }
        }
        history.note_cycle(Nanos(cycle_noted), &cycle, Surroundings::default());
        runtime.run(&mut history, &Spec::at(4 * SECOND));
        let whole = GcReport::of(GcInput {
            began: Nanos(0),
            ended: Nanos(u64::MAX),
            ..input(&history, &Tables::default())
        });
        prop_assert!(whole.charged(&timeline()).stops.len() <= 7);
    }
}
