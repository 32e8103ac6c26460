//! Where the garbage collector keeps its notes in real programs, against their symbol tables and their own code.

use gotrace::probe::gc;
use gotrace::target::gobin::{CollectorLayout, CollectorRefusal, GoBinary, PausesLayout, SchedulerLayout};
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSymbol as _};

use crate::fixtures::{built_by, open};
use crate::support::{Fixture, fixtures, fixtures_of};

/// All programs, but for Debian's, which Go 1.19 built, and the one of which not all is read that would have to be.
fn of_known_versions() -> impl Iterator<Item = (Fixture, GoBinary)> {
    let read = fixtures().into_iter().filter(|fixture| fixture.build != "lockranking");
    let opened = read.map(|fixture| {
        let binary = open(&fixture);
        (fixture, binary)
    });
    opened.filter(|(fixture, binary)| {
        let is_known = binary.version().minor() >= 21;
        if !is_known {
            let refusal = binary.collector().expect_err("Go 1.19");
            assert_eq!(refusal, CollectorRefusal::Layout(binary.version().to_string()), "{}", fixture.name);
        }
        is_known
    })
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn the_collectors_variables_are_where_the_symbol_table_has_them() {
    let (mut known, mut compared) = (0, 0);
    for (fixture, binary) in of_known_versions() {
        let (layout, globals) =
            binary.collector().unwrap_or_else(|refusal| panic!("{}: {refusal}", fixture.name));
        // Of experiments the program alone tells.
        let known_layout = CollectorLayout::of(binary.version());
        assert_eq!(known_layout.is_none(), fixture.is_experiment(), "{}", fixture.name);
        assert_eq!(Some(layout), known_layout.or(Some(layout)), "{}", fixture.name);
        known += 1;
        let holders = globals.holders.unwrap_or_else(|refusal| panic!("{}: {refusal}", fixture.name));
        let bytes = std::fs::read(&fixture.path).expect("a program");
        let file = ElfFile64::<LittleEndian>::parse(&*bytes).expect("an ELF file");
        let (scheduler, counts) =
            binary.scheduler().unwrap_or_else(|refusal| panic!("{}: {refusal}", fixture.name));
        let stopnote = u64::from(scheduler.gcwaiting) + 8;
        if binary.version().minor() == 21 {
            let refusal = CollectorRefusal::Layout(binary.version().to_string());
            assert_eq!(binary.pauses(), Err(refusal), "{}", fixture.name);
        } else {
            let (_, sched) = binary.pauses().unwrap_or_else(|refusal| panic!("{}: {refusal}", fixture.name));
            assert_eq!(sched, counts.sched, "{}", fixture.name);
        }
        for (name, found) in [
            ("runtime.work", globals.work.0),
            ("runtime.gcController", globals.controller.0),
            ("runtime.memstats", globals.memstats.0),
            ("runtime.runtimeInitTime", globals.runtime_init_time.0),
            ("runtime.sched", holders.stopnote.0 - stopnote),
            ("runtime.sched", counts.sched.0),
            ("runtime.allglen", counts.allglen.0),
            ("runtime.allp", holders.allp.0),
        ] {
            let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
            assert_eq!(symbol.is_some(), !binary.linking().stripped, "{}: {name}", fixture.name);
            assert!(symbol.is_none_or(|at| at.address() == found), "{}: {name}", fixture.name);
            compared += 1;
        }
    }
    assert!(known >= 40 && compared >= 200, "{known} programs, {compared} variables");
}

type Field = fn(&mut CollectorLayout) -> &mut u32;

/// Every field's name, and how to get at it. `work.size` only says how much is read.
const FIELDS: [(&str, Field); 19] = [
    ("user_forced", |layout| &mut layout.work.user_forced),
    ("cycles", |layout| &mut layout.work.cycles),
    ("stwprocs", |layout| &mut layout.work.stwprocs),
    ("maxprocs", |layout| &mut layout.work.maxprocs),
    ("t_sweep_term", |layout| &mut layout.work.t_sweep_term),
    ("pause_ns", |layout| &mut layout.work.pause_ns),
    ("heap0", |layout| &mut layout.work.heap0),
    ("cpu_assist", |layout| &mut layout.work.cpu_assist),
    ("gc_percent", |layout| &mut layout.controller.gc_percent),
    ("memory_limit", |layout| &mut layout.controller.memory_limit),
    ("last_heap_goal", |layout| &mut layout.controller.last_heap_goal),
    ("heap_live", |layout| &mut layout.controller.heap_live),
    ("last_stack_scan", |layout| &mut layout.controller.last_stack_scan),
    ("globals_scan", |layout| &mut layout.controller.globals_scan),
    ("heap_marked", |layout| &mut layout.controller.heap_marked),
    ("assist_time", |layout| &mut layout.controller.assist_time),
    ("total_alloc", |layout| &mut layout.controller.total_alloc),
    ("pause_total_ns", |layout| &mut layout.stats.pause_total_ns),
    ("numgc", |layout| &mut layout.stats.numgc),
];

/// The code of the program itself proves each offset: a wrong one is refused before anything is read by it.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn every_wrong_offset_is_refused() {
    let mut planted = 0;
    for (fixture, binary) in of_known_versions() {
        if fixture.program != "parked" {
            continue;
        }
        let (layout, _) = binary.collector().expect("a known version");
        let refused = |wrong: &CollectorLayout, what: &str| {
            assert!(binary.collector_globals(wrong).is_err(), "{}: {what} is not noticed", fixture.name);
        };
        for (index, (name, field)) in FIELDS.into_iter().enumerate() {
            for by in [-16, -8, -4, -1, 1, 4, 8, 16] {
                let mut wrong = layout;
                let offset = field(&mut wrong);
                let Some(moved) = offset.checked_add_signed(by) else { continue };
                *offset = moved;
                refused(&wrong, &format!("{name} moved by {by}"));
                planted += 1;
            }
            for (other_name, other) in &FIELDS[index + 1..] {
                let mut wrong = layout;
                let (one, two) = (*field(&mut wrong), *other(&mut wrong));
                (*field(&mut wrong), *other(&mut wrong)) = (two, one);
                refused(&wrong, &format!("{name} in the place of {other_name}"));
                planted += 1;
            }
        }
    }
    assert!(planted >= 3_000, "{planted} only");
}

/// The same of the places where the scheduler counts goroutines.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn every_wrong_count_of_goroutines_is_refused() {
    let mut planted = 0;
    for (fixture, binary) in of_known_versions() {
        if fixture.program != "parked" {
            continue;
        }
        let (right, _) = binary.scheduler().expect("a known version");
        let fields: [fn(&mut SchedulerLayout) -> &mut u32; 4] = [
            |layout| &mut layout.gcwaiting,
            |layout| &mut layout.ngsys,
            |layout| &mut layout.free,
            |layout| &mut layout.free_of_p,
        ];
        let refused = |wrong: SchedulerLayout| {
            let globals = binary.scheduler_globals(&wrong);
            assert!(globals.is_err(), "{}: {wrong:?}: {globals:?}", fixture.name);
        };
        for field in fields {
            for by in [-72, -16, -8, -4, -1, 1, 4, 8, 16] {
                let mut wrong = right;
                let offset = field(&mut wrong);
                *offset = offset.saturating_add_signed(by);
                refused(wrong);
                planted += 1;
            }
        }
        refused(SchedulerLayout { ngsys: 0, ..right });
        let other = right.free_without_stack.is_none().then_some(right.free + 16);
        refused(SchedulerLayout { free_without_stack: other, ..right });
    }
    assert!(planted >= 300, "{planted} only");
}

/// The same of the histograms of stops of the world.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn every_wrong_histogram_of_stops_is_refused() {
    let mut planted = 0;
    for (fixture, binary) in of_known_versions() {
        if fixture.program != "parked" {
            continue;
        }
        let Ok((right, _)) = binary.pauses() else { continue };
        let fields: [fn(&mut PausesLayout) -> &mut u32; 6] = [
            |layout| &mut layout.stopping_gc,
            |layout| &mut layout.stopping_other,
            |layout| &mut layout.total_gc,
            |layout| &mut layout.total_other,
            |layout| &mut layout.underflow,
            |layout| &mut layout.overflow,
        ];
        let refused = |wrong: PausesLayout| {
            let place = binary.pauses_place(&wrong);
            assert!(place.is_err(), "{}: {wrong:?}: {place:?}", fixture.name);
        };
        for (index, field) in fields.into_iter().enumerate() {
            for by in [-1296, -16, -8, -4, -1, 1, 4, 8, 16, 1296] {
                let mut wrong = right;
                let offset = field(&mut wrong);
                *offset = offset.saturating_add_signed(by);
                refused(wrong);
                planted += 1;
            }
            for other in &fields[index + 1..] {
                let mut wrong = right;
                let (one, two) = (*field(&mut wrong), *other(&mut wrong));
                (*field(&mut wrong), *other(&mut wrong)) = (two, one);
                refused(wrong);
                planted += 1;
            }
        }
    }
    assert!(planted >= 400, "{planted} only");
}

/// What a program says of its version is not believed either: where layouts differ, the code does not fit.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn the_layout_of_another_version_is_refused() {
    let (mut refused, mut alike) = (0, 0);
    for fixture in fixtures_of("parked") {
        let Some(version) = fixture.go.as_deref() else { continue };
        let minors = (21..=27).map(|minor| format!("go1.{minor}{}", &version[4..]));
        // `strongFromWeak` came with Go 1.23.4.
        let patches = [format!("go1.23.{}", if version.len() == 6 { "1" } else { "01" })];
        for other in minors.chain(patches) {
            let Some(binary) = built_by(&fixture, &other) else { continue };
            let is_alike =
                CollectorLayout::of(binary.version()) == CollectorLayout::of(open(&fixture).version());
            assert_eq!(binary.collector().is_ok(), is_alike, "{} as {other}", fixture.name);
            if is_alike { alike += 1 } else { refused += 1 }
        }
    }
    assert!(alike >= 10 && refused >= 40, "{alike} alike, {refused} refused");
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn every_site_of_the_collector_is_cheap() {
    for (fixture, binary) in of_known_versions() {
        let plan = gc(&binary).unwrap_or_else(|missing| panic!("{}: {missing:?}", fixture.name));
        assert!(plan.missing.is_empty(), "{}: {:?}", fixture.name, plan.missing);
        let hooks: Vec<&str> = plan.sites.iter().map(|planned| planned.hook.name()).collect();
        let expected: &[&str] = match binary.version().minor() {
            21 => &["world_started", "world_stopped", "world_stopping", "gc_cycle", "gc_assist"],
            22 => &[
                "world_started",
                "world_starting",
                "world_stopped",
                "world_stopped",
                "gc_cycle",
                "gc_assist",
            ],
            _ => &["world_started", "world_starting", "gc_cycle", "gc_assist"],
        };
        assert_eq!(hooks, expected, "{}", fixture.name);
        assert!(plan.sites.iter().all(|planned| planned.site.emulated), "{}: {:?}", fixture.name, plan.sites);
        let later = if binary.version().minor() == 21 { 0 } else { !0b110 };
        assert_eq!(plan.told_later, later, "{}", fixture.name);
    }
}
