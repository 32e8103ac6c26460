//! The layouts that gotrace knows, against what the programs' own debug information says.

use std::borrow::Cow;
use std::collections::HashMap;

use gimli::{AttributeValue, DwarfSections, EndianSlice, LittleEndian, SectionId};
use gotrace::target::gobin::{
    CollectorLayout, CollectorRefusal, GoBinary, LayoutSource, RuntimeLayout, SchedulerLayout,
};
use object::{Object as _, ObjectSection as _};

use crate::fixtures::{as_of, open};
use crate::support::{Fixture, drop_sections, fixtures, fixtures_of};
use crate::walk;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Members = HashMap<String, u64>;

const STRUCTURES: [&str; 10] = [
    "runtime.g",
    "runtime.m",
    "runtime.p",
    "runtime.gobuf",
    "runtime.pollDesc",
    "runtime.schedt",
    "runtime.workType",
    "runtime.cpuStats",
    "runtime.gcControllerState",
    "runtime.mstats",
];

/// Every member of the structures, with its offset, by the structure's name.
fn structures(bytes: &[u8]) -> HashMap<String, Members> {
    let file = object::File::parse(bytes).expect("an ELF file");
    let section = |id: SectionId| -> Result<Cow<'_, [u8]>, gimli::Error> {
        let section = file.section_by_name(id.name());
        Ok(section.map_or(Cow::Borrowed(&[][..]), |section| section.uncompressed_data().expect("a section")))
    };
    let sections = DwarfSections::load(section).expect("sections");
    let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, LittleEndian));
    let mut found = HashMap::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next().expect("a unit") {
        let unit = dwarf.unit(header).expect("a unit");
        let mut entries = unit.entries();
        let mut current: Option<(isize, String)> = None;
        while let Some(entry) = entries.next_dfs().expect("an entry") {
            let name = entry.attr_value(gimli::DW_AT_name).and_then(|value| {
                let text: Slice<'_> = dwarf.attr_string(&unit, value).ok()?;
                Some(text.to_string().ok()?.to_owned())
            });
            let depth = entry.depth();
            if current.as_ref().is_some_and(|(at, _)| depth <= *at) {
                current = None;
            }
            match entry.tag() {
                gimli::DW_TAG_structure_type => {
                    current =
                        name.filter(|name| STRUCTURES.contains(&name.as_str())).map(|name| (depth, name));
                }
                gimli::DW_TAG_member => {
                    let Some((_, structure)) = &current else { continue };
                    let at = entry.attr_value(gimli::DW_AT_data_member_location);
                    let at = at.and_then(|value: AttributeValue<Slice<'_>>| value.udata_value());
                    if let (Some(name), Some(at)) = (name, at) {
                        found.entry(structure.clone()).or_insert_with(Members::new).insert(name, at);
                    }
                }
                _ => {}
            }
        }
    }
    found
}

fn member_of(told: &HashMap<String, Members>, structure: &str, member: &str) -> u32 {
    let at = told.get(structure).and_then(|members| members.get(member));
    u32::try_from(*at.unwrap_or_else(|| panic!("no {structure}.{member}"))).expect("small")
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn every_offset_is_the_one_that_the_debug_information_tells() {
    let builds =
        fixtures().into_iter().filter(|fixture| fixture.program == "nethttp" && fixture.build == "default");
    let mut compared = 0;
    for fixture in builds {
        let binary = GoBinary::open(&fixture.path).expect("a Go program");
        let layout = RuntimeLayout::of(binary.version()).expect("a known layout");
        let told = structures(&std::fs::read(&fixture.path).expect("the fixture"));
        let of = |structure: &str, member: &str| member_of(&told, structure, member);
        let sched = |member: &str| of("runtime.g", "sched") + of("runtime.gobuf", member);
        let (g, m, p, poll) = (layout.g, layout.m, layout.p, layout.poll);
        let pairs = [
            (g.m, of("runtime.g", "m")),
            (g.sched_sp, sched("sp")),
            (g.sched_pc, sched("pc")),
            (g.sched_bp, sched("bp")),
            (g.syscallsp, of("runtime.g", "syscallsp")),
            (g.syscallpc, of("runtime.g", "syscallpc")),
            (g.atomicstatus, of("runtime.g", "atomicstatus")),
            (g.goid, of("runtime.g", "goid")),
            (g.waitsince, of("runtime.g", "waitsince")),
            (g.waitreason, of("runtime.g", "waitreason")),
            (g.lockedm, of("runtime.g", "lockedm")),
            (g.gopc, of("runtime.g", "gopc")),
            (g.startpc, of("runtime.g", "startpc")),
            (m.procid, of("runtime.m", "procid")),
            (m.curg, of("runtime.m", "curg")),
            (m.p, of("runtime.m", "p")),
            (m.id, of("runtime.m", "id")),
            (p.status, of("runtime.p", "status")),
            (p.m, of("runtime.p", "m")),
            (poll.fd, of("runtime.pollDesc", "fd")),
            (poll.rg, of("runtime.pollDesc", "rg")),
            (poll.wg, of("runtime.pollDesc", "wg")),
        ];
        let optional = |member: &str| told["runtime.g"].get(member).and_then(|at| u32::try_from(*at).ok());
        assert_eq!(g.syscallbp, optional("syscallbp"), "{}", fixture.name);
        assert_eq!(g.parent, optional("parentGoid"), "{}", fixture.name);
        for (index, (known, told)) in pairs.into_iter().enumerate() {
            assert_eq!(known, told, "{}: field {index}", fixture.name);
        }
        compared += 1;
    }
    assert!(compared >= 7, "{compared} builds only");
}

#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn what_the_collector_notes_is_where_the_debug_information_tells() {
    let builds = fixtures().into_iter().filter(|fixture| {
        ["nethttp", "parked"].contains(&fixture.program.as_str()) && fixture.build == "default"
    });
    let mut compared = 0;
    for fixture in builds {
        let binary = GoBinary::open(&fixture.path).expect("a Go program");
        let CollectorLayout { work, controller, stats } =
            CollectorLayout::of(binary.version()).expect("a known layout");
        let told = structures(&std::fs::read(&fixture.path).expect("the fixture"));
        let in_work = |member| member_of(&told, "runtime.workType", member);
        let in_controller = |member| member_of(&told, "runtime.gcControllerState", member);
        let in_stats = |member| member_of(&told, "runtime.mstats", member);
        let in_sched = |member| member_of(&told, "runtime.schedt", member);
        let scheduler = SchedulerLayout::of(binary.version()).expect("a known layout");
        // Go 1.23 exported the names.
        let of_cpu = |member: &str| {
            let member = if binary.version().minor() <= 22 {
                member.replacen("GC", "gc", 1)
            } else {
                member.to_owned()
            };
            in_work("cpuStats") + member_of(&told, "runtime.cpuStats", &member)
        };
        let pairs = [
            (work.user_forced, in_work("userForced")),
            (work.cycles, in_work("cycles")),
            (work.stwprocs, in_work("stwprocs")),
            (work.maxprocs, in_work("maxprocs")),
            (work.t_sweep_term, in_work("tSweepTerm")),
            (work.t_sweep_term + 8, in_work("tMark")),
            (work.t_sweep_term + 16, in_work("tMarkTerm")),
            (work.t_sweep_term + 24, in_work("tEnd")),
            (work.pause_ns, in_work("pauseNS")),
            (work.heap0, in_work("heap0")),
            (work.heap0 + 8, in_work("heap1")),
            (work.heap0 + 16, in_work("heap2")),
            (work.cpu_assist, of_cpu("GCAssistTime")),
            (work.cpu_assist + 8, of_cpu("GCDedicatedTime")),
            (work.cpu_assist + 16, of_cpu("GCIdleTime")),
            (controller.gc_percent, in_controller("gcPercent")),
            (controller.memory_limit, in_controller("memoryLimit")),
            (controller.last_heap_goal - 24, in_controller("gcPercentHeapGoal")),
            (controller.last_heap_goal - 16, in_controller("sweepDistMinTrigger")),
            (controller.last_heap_goal - 8, in_controller("triggered")),
            (controller.last_heap_goal, in_controller("lastHeapGoal")),
            (controller.heap_live, in_controller("heapLive")),
            (controller.last_stack_scan, in_controller("lastStackScan")),
            (controller.globals_scan, in_controller("globalsScan")),
            (controller.heap_marked, in_controller("heapMarked")),
            (controller.assist_time, in_controller("assistTime")),
            (controller.assist_time + 8, in_controller("dedicatedMarkTime")),
            (controller.assist_time + 16, in_controller("fractionalMarkTime")),
            (controller.assist_time + 24, in_controller("idleMarkTime")),
            (controller.total_alloc - 8, in_controller("heapFree")),
            (controller.total_alloc, in_controller("totalAlloc")),
            (controller.total_alloc + 8, in_controller("totalFree")),
            (controller.total_alloc + 16, in_controller("mappedReady")),
            (scheduler.lock, in_sched("lock")),
            (scheduler.gcwaiting, in_sched("gcwaiting")),
            (scheduler.ngsys, in_sched("ngsys")),
            // Behind a lock, or a lock and the first of two lists that count.
            (
                scheduler.free,
                in_sched("gFree") + if scheduler.free_without_stack.is_none() { 24 } else { 16 },
            ),
            (scheduler.free_of_p, member_of(&told, "runtime.p", "gFree") + 8),
            (stats.pause_total_ns, in_stats("pause_total_ns")),
            (stats.numgc, in_stats("numgc")),
            (stats.numgc + 4, in_stats("numforcedgc")),
            (stats.numgc + 8, in_stats("gc_cpu_fraction")),
            (stats.numgc + 16, in_stats("last_gc_nanotime")),
        ];
        for (index, (known, told)) in pairs.into_iter().enumerate() {
            assert_eq!(known, told, "{}: field {index}", fixture.name);
        }
        compared += 1;
    }
    assert!(compared >= 14, "{compared} builds only");
}

/// The program `parked`, built so by the Go that has every build of it.
fn parked(build: &str) -> Fixture {
    let is_it = |fixture: &Fixture| fixture.build == build && fixture.go.as_deref() == Some("1.26.6");
    fixtures_of("parked").into_iter().find(is_it).expect("a build of it")
}

/// A candidate of a program's version, whose name is as long: `go1.26rc` for `go1.26.6`.
fn candidate(version: &str) -> String {
    format!("go{}rc{}", &version[..4], &version[6..])
}

/// Programs whose version the table does not have tell the same of themselves as the table of the version that they are.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn what_a_program_tells_of_itself_is_what_the_table_has() {
    let (mut compared, mut minors) = (0, std::collections::BTreeSet::new());
    for fixture in fixtures() {
        let Some(version) = fixture.go.as_deref().filter(|_| !fixture.is_experiment()) else { continue };
        let Some(binary) = as_of(&fixture, &candidate(version), true) else { continue };
        let known = open(&fixture);
        // Of Go 1.20 there is no toolchain, and so no row.
        let in_table = (known.version().minor() != 20).then_some(LayoutSource::Table);
        assert_eq!(known.layout_source(), in_table, "{}", fixture.name);
        if !binary.linking().dwarf {
            // A candidate is taken for the last release, but for what the code has to confirm.
            assert_eq!(binary.layout_source(), in_table, "{}", fixture.name);
            let refusal = binary.collector().map(drop);
            assert_eq!(
                refusal,
                Err(CollectorRefusal::Layout(binary.version().to_string())),
                "{}",
                fixture.name
            );
            continue;
        }
        assert_eq!(binary.layout_source(), Some(LayoutSource::DebugInfo), "{}", fixture.name);
        assert_eq!(binary.runtime_layout(), RuntimeLayout::of(known.version()), "{}", fixture.name);
        assert_eq!(binary.collector(), known.collector(), "{}", fixture.name);
        assert_eq!(binary.own_collector_layout(), CollectorLayout::of(known.version()), "{}", fixture.name);
        assert_eq!(known.own_collector_layout(), None, "{}", fixture.name);
        assert_eq!(binary.scheduler(), known.scheduler(), "{}", fixture.name);
        assert_eq!(binary.pauses().ok(), known.pauses().ok(), "{}", fixture.name);
        assert_eq!(binary.heap_globals(), known.heap_globals(), "{}", fixture.name);
        compared += 1;
        minors.insert(known.version().minor());
    }
    assert!(compared >= 30 && minors.len() >= 7, "{compared} programs only, of {minors:?}");
}

/// An experiment has moved fields of this one. Every check of its code agrees with what it tells.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn what_an_experiment_moved_is_where_the_program_tells() {
    let program = parked("lockranking");
    let binary = open(&program);
    assert_eq!(binary.version().experiments(), Some("staticlockranking"));
    assert_eq!(binary.layout_source(), Some(LayoutSource::DebugInfo));
    let told = structures(&std::fs::read(&program.path).expect("the fixture"));
    let RuntimeLayout { g, m, .. } = binary.runtime_layout().expect("a layout");
    assert_eq!(g.goid, member_of(&told, "runtime.g", "goid"));
    assert_eq!(g.startpc, member_of(&told, "runtime.g", "startpc"));
    assert_eq!(m.curg, member_of(&told, "runtime.m", "curg"));
    // Each of the runtime's locks is larger there.
    let released = open(&parked("default"));
    let (own, of_release) = (binary.own_collector_layout(), CollectorLayout::of(released.version()));
    assert!(own.is_some() && of_release.is_some());
    assert_ne!(own, of_release, "it moves nothing that is read");
    assert!(binary.scheduler().is_ok() && binary.pauses().is_ok());
    // So much larger that not all of it is read.
    let refusal = CollectorRefusal::Larger("go1.26.6-X:staticlockranking".to_owned());
    assert_eq!(binary.collector().map(drop), Err(refusal));
    assert!(binary.heap_globals().is_ok());

    let mut bytes = std::fs::read(&program.path).expect("the fixture");
    drop_sections(&mut bytes);
    let stripped = walk::open(&bytes).expect("a Go program");
    assert_eq!((stripped.layout_source(), stripped.runtime_layout()), (None, None));
    assert_eq!(
        stripped.collector().map(drop),
        Err(CollectorRefusal::Layout("go1.26.6-X:staticlockranking".to_owned()))
    );
}

/// Whatever is wrong with the debug information, nothing worse happens than that it is not believed.
#[test]
#[ignore = "needs fixtures: cargo xtask test"]
fn damaged_debug_information_is_left_alone() {
    let program = parked("lockranking");
    let bytes = std::fs::read(&program.path).expect("the fixture");
    let right = open(&program).runtime_layout();
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let mut refused = 0;
    for name in [".debug_info", ".debug_abbrev"] {
        let section = file.section_by_name(name).expect("a section");
        let (begins, len) = section.file_range().expect("a place");
        for part in 0..24 {
            let mut damaged = bytes.clone();
            let at = usize::try_from(begins + len * part / 24).expect("small");
            damaged[at..at + 4].iter_mut().for_each(|byte| *byte ^= 0xff);
            // The code is where it was.
            let told = walk::open(&damaged).expect("a Go program").runtime_layout();
            assert!(told.is_none() || told == right, "{name}: {at}");
            refused += usize::from(told.is_none());
        }
    }
    assert!(refused >= 10, "{refused} only");
}
