//! What is told of the collector, from records of a runtime made by hand, to the letter.

use crate::event::blocking::StackTaken;
use crate::event::gc::{Assist, Holder, Stop};
use crate::model::MissingProbe;
use crate::model::gc::crafted::{
    AHEAD, Crafted, MAIN, MALLOC, READ, Runtime, SPIN, STOP, Spec, WORK, holder, stack, stop, timeline,
};
use crate::model::gc::{GcHistory, GcInput, GcReport, Surroundings};
use crate::stream::Tables;
use crate::units::{Nanos, RuntimeAddr};

const SECOND: u64 = 1_000_000_000;

fn report_of(history: &GcHistory, assists: &[Assist]) -> GcReport {
    let stacks = [(1, stack(&[MALLOC, WORK])), (2, stack(&[MALLOC, MAIN]))].into();
    GcReport::of(GcInput {
        history,
        began: Nanos(SECOND + AHEAD),
        ended: Nanos(11 * SECOND + AHEAD),
        slow_from: Nanos(1_000_000),
        assists,
        assists_before: &[],
        stacks: &Tables { stacks, ..Tables::default() },
        throttled: Some(Nanos(0)),
        runtime_init: Some(Nanos(900_000_000)),
        gc_percent: None,
        module: None,
        missing: vec![MissingProbe {
            probe: "gc_assist".into(),
            function: "runtime.gcAssistAlloc1".to_owned(),
            reason: "its code is not known".to_owned(),
            is_detail: true,
        }],
        blocking: None,
        symbols: &Crafted,
    })
}

/// Three cycles, the last with assists and forced, and a stop that a goroutine held up.
pub(in crate::export) fn whole() -> GcReport {
    let mut runtime = Runtime::new();
    let mut history = GcHistory::new(runtime.layout, Nanos(SECOND + AHEAD));
    runtime.run(&mut history, &Spec { allocated: 20_000_000, ..Spec::at(2 * SECOND) });
    let seen = Holder { on_cpu: 9, runnable: 1, ..holder(&[SPIN, MAIN]) };
    let held = Stop {
        holder: Some(seen),
        looks: 12,
        total: Some(Nanos(1_300_000)),
        stack: stack(&[STOP, READ, MAIN]),
        ..stop(7, 3 * SECOND, 1_250_000)
    };
    history.note_stop(Nanos(held.monotonic.0 + AHEAD), &held);
    let around = Surroundings { rss: Some(31_000_000), throttled: Some(Nanos(0)) };
    let second = Spec { allocated: 90_000_000, around, ..Spec::at(4 * SECOND) };
    runtime.run(&mut history, &second);
    runtime.run(
        &mut history,
        &Spec {
            start: 5 * SECOND,
            mark: 400_000_000,
            assist: 300_000_000,
            heap: [16_000_000, 17_500_000, 8_200_000],
            goal: 17_000_000,
            allocated: 140_000_000,
            forced: true,
            ..second
        },
    );
    let assist = |stack, time| Assist {
        stack: StackTaken::Taken(stack),
        gopc: Some(RuntimeAddr(1000 + 100 * MAIN + 21)),
        count: 40,
        time: Nanos(time),
    };
    report_of(&history, &[assist(1, 225_000_000), assist(2, 75_000_000)])
}

fn text(report: &GcReport, color: bool) -> String {
    let mut out = Vec::new();
    report.write_text(color, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn written(report: &GcReport) -> String {
    let mut out = Vec::new();
    report.write_ndjson(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_is_as_it_was() {
    assert_eq!(text(&whole(), false), include_str!("../golden/gc.txt"));
}

#[test]
fn ndjson_is_as_it_was() {
    assert_eq!(written(&whole()), include_str!("../golden/gc.ndjson"));
}

#[test]
fn gctrace_is_as_go_would_print_it() {
    let mut out = Vec::new();
    whole().write_gctrace(&mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "\
gc 1 @1.100s 0%: 0.030+2.0+0.050 ms clock, 0.060+0/0.90/0.30+0.10 ms cpu, 7->8->3 MB, 8 MB goal, 1 MB stacks, 1 MB globals, 2 P
gc 2 @3.100s 0%: 0.030+2.0+0.050 ms clock, 0.060+0/0.90/0.30+0.10 ms cpu, 7->8->3 MB, 8 MB goal, 1 MB stacks, 1 MB globals, 2 P
gc 3 @4.100s 2%: 0.030+400+0.050 ms clock, 0.060+300/0.90/0.30+0.10 ms cpu, 15->16->7 MB, 16 MB goal, 1 MB stacks, 1 MB globals, 2 P (forced)
"
    );
}

#[test]
fn a_program_that_rests_is_one_line() {
    let runtime = Runtime::new();
    let history = GcHistory::new(runtime.layout, Nanos(0));
    let report = GcReport { missing: Vec::new(), ..report_of(&history, &[]) };
    assert_eq!(text(&report, false), "GC: no cycle, the world was not stopped\n\n");
}

#[test]
fn what_is_refused_is_only_that() {
    let mut runtime = Runtime::new();
    let mut history = GcHistory::new(runtime.layout, Nanos(0));
    runtime.run(&mut history, &Spec::at(2 * SECOND));
    let mut cycle = runtime.cycle(&Spec::at(3 * SECOND));
    cycle.pause_total.0 += 1;
    history.note_cycle(Nanos(4 * SECOND), &cycle, Surroundings::default());
    let report = GcReport { missing: Vec::new(), ..report_of(&history, &[]) };
    let told = text(&report_of(&history, &[]), false);
    assert!(told.starts_with("GC: not told, because"), "{told}");
    assert!(told.contains("not seen: gc (runtime.work): the runtime's figures contradict one another: in cycle 2 memstats.pause_total_ns's growth is 78001, and work.pauseNS 78000"), "{told}");
    assert_eq!(written(&report).lines().count(), 1);
    let mut out = Vec::new();
    report.write_gctrace(&mut out).unwrap();
    assert_eq!(out, b"");
}

#[test]
fn hostile_names_cannot_steer_a_terminal_and_colours_are_only_added() {
    let report = whole();
    assert!(!text(&report, false).contains('\u{1b}') && !written(&report).contains('\u{1b}'));
    let coloured = text(&report, true);
    assert_ne!(coloured, text(&report, false));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), text(&report, false));
}

#[test]
fn what_ran_before_main_is_told_of_a_start() {
    let mut runtime = Runtime::new();
    let mut history = GcHistory::new(runtime.layout, Nanos(0));
    let start = |report: &GcReport| {
        let mut out = Vec::new();
        report.write_startup(false, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    for tenths in [21, 22, 27, 31] {
        runtime.run(&mut history, &Spec::at(tenths * SECOND / 10));
    }
    runtime.run(&mut history, &Spec::at(5 * SECOND));
    let report = report_of(&history, &[]).charged(&timeline());
    assert_eq!(
        start(&report),
        "  garbage collector before main.main: 4 cycles, 8.32 ms in all, stopped for 312.0 µs of it, 4.24 ms of CPU time; 4.1 MB live at the end
    2 cycles during init of a, 4.16 ms
    1 cycle during init of b\\u{1b}, 2.08 ms

"
    );
    let gc = written(&report).lines().filter(|line| line.contains("\"phase\":")).count();
    assert_eq!(gc, 5);
    assert!(written(&report).contains("\"phase\":\"package_init\",\"package\":\"a\"}"));
    let later = GcHistory::new(runtime.layout, Nanos(0));
    assert_eq!(start(&report_of(&later, &[]).charged(&timeline())), "");
}
