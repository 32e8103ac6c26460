//! The checks, on what real programs had in memory: the right layout passes, and every wrong one is refused.

use super::super::crafted::layout;
use super::super::history::GcHistory;
use super::super::{GcCycle, Surroundings};
use super::*;
use crate::event::gc::{Cycle, Stop};
use crate::target::gobin::CollectorLayout;
use tracer_ebpf::wire::gc::{CONTROLLER_WORDS, STATS_WORDS, WORK_WORDS};

const RECORDED: &str = include_str!("golden/recorded.txt");

/// Bytes recorded before `userForced`, and before the begin of the controller, `numgc` and `pause_total_ns`.
const BEFORE_WORK: u32 = 64;
const BEFORE: u32 = 32;

/// Cycles of one program, one after another.
struct Program {
    name: &'static str,
    layout: CollectorLayout,
    cycles: Vec<Recorded>,
}

/// Memory between two cycles.
struct Recorded {
    monotonic: u64,
    work: Vec<u8>,
    controller: Vec<u8>,
    stats: Vec<u8>,
    pause: Vec<u8>,
}

fn programs() -> Vec<Program> {
    let mut programs: Vec<Program> = Vec::new();
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("program ") {
            programs.push(Program { name, layout: layout("go1.27.3"), cycles: Vec::new() });
            continue;
        }
        let fields: Vec<&str> = line.split(' ').collect();
        let program = programs.last_mut().unwrap();
        program.layout = layout(fields[0]);
        program.cycles.push(Recorded {
            monotonic: fields[1].parse().unwrap(),
            work: bytes(fields[2]),
            controller: bytes(fields[3]),
            stats: bytes(fields[4]),
            pause: bytes(fields[5]),
        });
    }
    programs
}

fn bytes(words: &str) -> Vec<u8> {
    words.split(',').flat_map(|word| u64::from_str_radix(word, 16).unwrap().to_le_bytes()).collect()
}

/// What the kernel side would have copied, had it been told the planted layout of a program with the true one.
fn copied(recorded: &Recorded, planted: &CollectorLayout, truth: &CollectorLayout) -> Cycle {
    let word = |memory: &[u8], at: i64| {
        let at = usize::try_from(at).ok()?;
        Some(u64::from_le_bytes(memory.get(at..at + 8)?.try_into().unwrap()))
    };
    // What was not recorded is as good as anything.
    let words = |memory: &[u8], at: i64, count: usize| {
        let places = (0..).step_by(8).take(count).map(|index: i64| at + index);
        places.map(|at| word(memory, at).unwrap_or(0x5555_5555_5555_5555)).collect::<Vec<_>>()
    };
    let moved =
        |planted: u32, truth: u32, before: u32| i64::from(planted) - i64::from(truth) + i64::from(before);
    let from = moved(planted.work.from(), truth.work.user_forced, BEFORE_WORK);
    let numgc = moved(planted.stats.numgc, truth.stats.numgc, BEFORE);
    let pause = moved(planted.stats.pause_total_ns, truth.stats.pause_total_ns, BEFORE);
    Cycle {
        monotonic: Nanos(recorded.monotonic),
        goid: None,
        pause_total: Nanos(words(&recorded.pause, pause, 1)[0]),
        work: words(&recorded.work, from, WORK_WORDS),
        controller: words(&recorded.controller, BEFORE.into(), CONTROLLER_WORDS),
        stats: words(&recorded.stats, numgc, STATS_WORDS),
    }
}

/// What becomes of a program's cycles with a layout: the cycles, or how many were believed before the refusal.
fn told(
    program: &Program,
    planted: &CollectorLayout,
    with_shape: bool,
) -> Result<Vec<GcCycle>, (usize, Refusal)> {
    let mut history = GcHistory::new(*planted, Nanos(0));
    if !with_shape {
        history.refused = None;
    }
    for (believed, recorded) in program.cycles.iter().enumerate() {
        let cycle = copied(recorded, planted, &program.layout);
        history.note_cycle(Nanos(recorded.monotonic), &cycle, Surroundings::default());
        if let Some(refusal) = history.refused() {
            return Err((believed, refusal.clone()));
        }
    }
    Ok(history.cycles.into())
}

type Field = (&'static str, fn(&mut CollectorLayout) -> &mut u32);

/// Every field, by the structure that it is in.
fn fields() -> [Vec<Field>; 3] {
    [
        vec![
            ("user_forced", |layout| &mut layout.work.user_forced),
            ("cycles", |layout| &mut layout.work.cycles),
            ("stwprocs", |layout| &mut layout.work.stwprocs),
            ("maxprocs", |layout| &mut layout.work.maxprocs),
            ("t_sweep_term", |layout| &mut layout.work.t_sweep_term),
            ("pause_ns", |layout| &mut layout.work.pause_ns),
            ("heap0", |layout| &mut layout.work.heap0),
            ("cpu_assist", |layout| &mut layout.work.cpu_assist),
        ],
        vec![
            ("gc_percent", |layout| &mut layout.controller.gc_percent),
            ("memory_limit", |layout| &mut layout.controller.memory_limit),
            ("last_heap_goal", |layout| &mut layout.controller.last_heap_goal),
            ("heap_live", |layout| &mut layout.controller.heap_live),
            ("last_stack_scan", |layout| &mut layout.controller.last_stack_scan),
            ("globals_scan", |layout| &mut layout.controller.globals_scan),
            ("heap_marked", |layout| &mut layout.controller.heap_marked),
            ("assist_time", |layout| &mut layout.controller.assist_time),
            ("total_alloc", |layout| &mut layout.controller.total_alloc),
        ],
        vec![
            ("pause_total_ns", |layout| &mut layout.stats.pause_total_ns),
            ("numgc", |layout| &mut layout.stats.numgc),
        ],
    ]
}

/// Every layout with one field elsewhere, or two fields exchanged.
fn planted(truth: &CollectorLayout) -> Vec<(String, CollectorLayout)> {
    let mut layouts = Vec::new();
    for structure in fields() {
        for (name, field) in &structure {
            for delta in [-16, -8, -4, -1, 1, 4, 8, 16] {
                let mut layout = *truth;
                let Some(wrong) = field(&mut layout).checked_add_signed(delta) else { continue };
                *field(&mut layout) = wrong;
                layouts.push((format!("{name}{delta:+}"), layout));
            }
            for (other_name, other) in &structure {
                let mut layout = *truth;
                let (left, right) = (*field(&mut layout), *other(&mut layout));
                if name < other_name {
                    (*field(&mut layout), *other(&mut layout)) = (right, left);
                    layouts.push((format!("{name}<>{other_name}"), layout));
                }
            }
        }
    }
    layouts
}

#[test]
fn real_programs_pass() {
    let mut forced = 0;
    for program in programs() {
        let cycles = told(&program, &program.layout, true)
            .unwrap_or_else(|(believed, refusal)| panic!("{} after {believed}: {refusal}", program.name));
        assert_eq!(cycles.len(), program.cycles.len(), "{}", program.name);
        assert!(cycles.iter().skip(1).any(|cycle| cycle.missed_before == 0), "{}", program.name);
        forced += cycles.iter().filter(|cycle| cycle.forced).count();
    }
    assert!(forced > 3, "{forced}");
}

#[test]
fn figures_are_those_of_the_memory() {
    let program = program("1.27.3");
    let cycles = told(&program, &program.layout, true).unwrap();
    let (first, forced) = (&cycles[0], cycles.iter().find(|cycle| cycle.forced).unwrap());
    assert_eq!((first.number, forced.number, forced.missed_before), (1, 6, 1));
    assert_eq!((first.heap_marked, first.heap_goal, first.heap_live), (6_453_464, 4_194_304, 6_453_464));
    assert_eq!((first.stack_scan, first.globals_scan, first.procs), (1_968, 157_162, 2));
    assert_eq!((first.gc_percent, first.memory_limit), (100, crate::model::gc::NO_LIMIT));
    assert!(!first.at_limit && first.start < first.noted && first.pause < first.duration());
    let limited = self::program("1.27.3 GOMEMLIMIT");
    let cycles = told(&limited, &limited.layout, true).unwrap();
    assert!(cycles.iter().filter(|cycle| cycle.at_limit).count() >= 3);
    let limits = |cycle: &GcCycle| (cycle.procs, cycle.stop_procs, cycle.memory_limit);
    assert!(cycles.iter().all(|cycle| limits(cycle) == (5, 2, 12 << 20)));
}

#[test]
fn every_wrong_layout_is_refused() {
    for program in programs() {
        let layouts = planted(&program.layout);
        assert!(layouts.len() > 150, "{}", layouts.len());
        for (what, layout) in layouts {
            assert!(told(&program, &layout, true).is_err(), "{what} in {}", program.name);
        }
    }
}

/// That fields follow each other is what finds the rest: where the program has as many CPUs as Ps, two words are equal,
/// and where nothing was allocated since the cycle, heapScan is lastHeapScan.
#[test]
fn the_values_alone_refuse_nearly_all() {
    const NOT_BY_VALUE: [&str; 4] = ["stwprocs+4", "maxprocs-4", "maxprocs<>stwprocs", "heap_live-8"];
    let (mut all, mut by_value) = (0, 0);
    for program in programs() {
        for (what, layout) in planted(&program.layout) {
            let refused = told(&program, &layout, false).is_err();
            (all, by_value) = (all + 1, by_value + usize::from(refused));
            assert!(refused || NOT_BY_VALUE.contains(&what.as_str()), "{what} in {}", program.name);
        }
    }
    assert!(by_value * 100 >= all * 98, "{by_value} of {all}");
}

#[test]
fn a_program_whose_ps_change_is_no_contradiction() {
    let program = program("1.27.3");
    let (before, after) = (figures(&program, 0), figures(&program, 1));
    assert_eq!(follows(&after, &before, false), Ok(0));
    let time = after.t_end - before.t_end;
    let mut grown = after.clone();
    (grown.maxprocs, grown.cpu.total) = (5, before.cpu.total + 3 * time);
    assert_eq!(follows(&grown, &before, false), Ok(0));
    grown.cpu.total = before.cpu.total + 6 * time;
    assert!(follows(&grown, &before, false).is_err());
    assert_eq!(follows(&grown, &before, true), Ok(0));
}

#[test]
fn a_stop_that_does_not_fit_its_cycle_is_refused() {
    let program = program("1.27.3");
    let recorded = &program.cycles[0];
    let figures = figures(&program, 0);
    let told = |reason: u32, started: u64| {
        let mut history = GcHistory::new(program.layout, Nanos(0));
        let stop = Stop { started: Some(Nanos(started)), ..stop(reason) };
        history.note_stop(Nanos(recorded.monotonic), &stop);
        let cycle = copied(recorded, &program.layout, &program.layout);
        history.note_cycle(Nanos(recorded.monotonic), &cycle, Surroundings::default());
        history.refused().map(ToString::to_string)
    };
    assert_eq!(told(1, figures.t_mark_term + 1), None);
    assert_eq!(told(2, figures.t_sweep_term + 1), None);
    // One of each is all that pauseNS has; three are too many, and so is one that begins before its cycle does.
    let mut twice = figures.clone();
    twice.pause = figures.t_end - figures.t_mark_term - 1;
    let stops = [(1, figures.t_mark_term), (2, figures.t_sweep_term)];
    let noted =
        stops.map(|(reason, started)| (Nanos(0), Stop { started: Some(Nanos(started)), ..stop(reason) }));
    let cycle = GcCycle::of(&figures, Nanos(recorded.monotonic), Nanos(0), None, Surroundings::default());
    let error = super::stops(&twice, &noted.into(), &cycle).unwrap_err();
    assert_eq!(error.to_string(), "in cycle 1 work.pauseNS is less than the stops that were seen");
}

fn program(name: &str) -> Program {
    programs().into_iter().find(|program| program.name == name).unwrap()
}

fn figures(program: &Program, index: usize) -> Figures {
    let cycle = copied(&program.cycles[index], &program.layout, &program.layout);
    Figures::of(&program.layout, &cycle).unwrap()
}

fn stop(reason: u32) -> Stop {
    Stop {
        monotonic: Nanos(0),
        started: None,
        finished: None,
        total: None,
        reason,
        own_clock: false,
        looks: 0,
        goid: None,
        gopc: None,
        stack: Vec::new(),
        holder: None,
    }
}
