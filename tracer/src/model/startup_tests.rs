//! Hand-made events with the timelines that they must give.

use super::super::catalogue::InitFunction;
use super::super::init::Allocated;
use super::super::phases::Step;
use super::*;
use crate::event::{EventKind, Heap, Hit};
use crate::target::gobin::InitTask;
use crate::units::{RuntimeAddr, VirtAddr};

const BIAS: u64 = 0x7000_0000;
const SITE: u64 = 0x1000;

fn task(address: u64, package: &str, functions: usize) -> InitTask {
    InitTask {
        address: VirtAddr(address),
        package: package.to_owned(),
        functions: vec![VirtAddr(0x1); functions],
        dependencies: Vec::new(),
    }
}

fn catalogue() -> InitCatalogue {
    catalogue_probed_at(&[Probe::Init])
}

fn catalogue_probed_at(probes: &[Probe]) -> InitCatalogue {
    let tasks =
        [task(0x10, "runtime", 1), task(0x20, "errors", 1), task(0x30, "empty", 0), task(0x40, "main", 1)];
    let tasks = tasks.map(|task| {
        let function = InitFunction { name: "init".to_owned(), file: None, line: 0, site: None };
        let functions = vec![function; task.functions.len()];
        (task, functions)
    });
    InitCatalogue::new(tasks, probes.iter().map(|probe| (*probe, VirtAddr(SITE))))
}

struct NoSymbols;

impl Symbols for NoSymbols {
    fn frames(&self, _address: RuntimeAddr) -> Vec<Frame> {
        Vec::new()
    }

    fn wait_reason(&self, _number: u8) -> Option<&'static str> {
        None
    }
}

/// Of a main thread that was on the CPU all the time.
fn account(time: u64) -> Account {
    Account { on_cpu: time - 100, ..Account::default() }
}

fn hit(time: u64, probe: Probe, task: u64) -> Event {
    let kind = EventKind::Hit(Hit {
        probe,
        ip: RuntimeAddr(SITE + BIAS),
        argument: task.wrapping_add(BIAS),
        account: account(time),
        heap: None,
    });
    Event { time: Nanos(time), tid: 1, kind }
}

fn exec(time: u64, comm: &str) -> Event {
    Event {
        time: Nanos(time),
        tid: 1,
        kind: EventKind::Exec { comm: comm.to_owned(), account: account(time) },
    }
}

fn exit(time: u64) -> Event {
    Event { time: Nanos(time), tid: 1, kind: EventKind::Exit }
}

fn whole() -> Vec<Event> {
    vec![
        exec(110, "app"),
        hit(120, Probe::GoEntry, 0),
        hit(125, Probe::SchedInit, 0),
        hit(135, Probe::SchedInitDone, 0),
        hit(150, Probe::RuntimeMain, 0),
        hit(155, Probe::Init, 0x10),
        hit(160, Probe::GcEnable, 0),
        hit(170, Probe::Init, 0x10),
        hit(171, Probe::Init, 0x20),
        hit(181, Probe::Init, 0x30),
        hit(182, Probe::Init, 0x40),
        hit(200, Probe::MainMain, 0),
        exit(300),
    ]
}

/// Of a process that is gone when its last event is the exit of a thread.
fn observation(gone: Option<Nanos>) -> Observation {
    Observation {
        begin: Nanos(100),
        end: Nanos(1000),
        gone,
        closing: None,
        present: None,
        ready: None,
        throttled: None,
    }
}

fn timeline(events: &[Event]) -> StartupTimeline {
    let gone = events.last().is_some_and(|event| event.kind == EventKind::Exit).then_some(Nanos(500));
    let observation = observation(gone);
    StartupTimeline::of(events, &catalogue(), &NoSymbols, &observation)
}

fn phases(timeline: &StartupTimeline) -> Vec<(&'static str, u64, u64, bool)> {
    let row = |phase: &Phase| (phase.name.name(), phase.start.0, phase.duration.0, phase.done);
    timeline.phases.iter().map(row).collect()
}

fn inits(timeline: &StartupTimeline) -> Vec<(String, u64, u64, bool)> {
    let row = |init: &Init| (init.package(), init.start.0, init.wall.0, init.done);
    timeline.inits.iter().map(row).collect()
}

#[test]
fn a_whole_start_is_split_without_a_gap() {
    let timeline = timeline(&whole());
    assert_eq!(
        phases(&timeline),
        [
            ("exec", 100, 10, true),
            ("dynamic_link", 110, 10, true),
            ("runtime_bootstrap", 120, 30, true),
            ("runtime_init", 150, 21, true),
            ("package_init", 171, 29, true),
            ("main", 200, 100, true),
        ]
    );
    assert_eq!(timeline.to_main, Some(Nanos(100)));
    assert_eq!(timeline.ended, Some(Nanos(300)));
    let bootstrap = &timeline.phases[2];
    assert_eq!(bootstrap.steps, [Step { name: "schedinit", start: Nanos(125), duration: Nanos(10) }]);
}

#[test]
fn an_init_ends_where_the_next_step_begins_and_runs_once() {
    let timeline = timeline(&whole());
    let expected = [("runtime", 155, 5), ("errors", 171, 10), ("main", 182, 18)];
    let expected: Vec<_> =
        expected.into_iter().map(|(name, start, wall)| (name.to_owned(), start, wall, true)).collect();
    assert_eq!(inits(&timeline), expected);
}

#[test]
fn an_init_allocates_what_the_counters_grow_by_until_it_ends() {
    let mut events = whole();
    let snapshots = events.iter_mut().filter_map(|event| match &mut event.kind {
        EventKind::Hit(hit) if matches!(hit.probe, Probe::Init | Probe::GcEnable | Probe::MainMain) => {
            Some(&mut hit.heap)
        }
        _ => None,
    });
    let counts = [(1, 10), (4, 60), (4, 60), (9, 100), (9, 100), (7, 100), (8, 200)];
    for (snapshot, (allocs, bytes)) in snapshots.zip(counts) {
        *snapshot = Some(Heap { allocs, bytes });
    }
    let of = |events: &[Event]| timeline(events).inits.into_iter().map(|init| init.heap).collect::<Vec<_>>();
    let grown = |allocs, bytes| Some(Allocated { allocs, bytes });
    assert_eq!(of(&events), [grown(3, 50), grown(0, 0), grown(1, 100)]);
    let EventKind::Hit(last) = &mut events[11].kind else { panic!() };
    // Less than before cannot be.
    last.heap = Some(Heap { allocs: 1, bytes: 200 });
    assert_eq!(of(&events)[2], None);
    assert_eq!(of(&whole()), [None; 3]);
}

#[test]
fn what_was_allocated_is_readable() {
    let of = |allocs, bytes| Allocated { allocs, bytes }.to_string();
    assert_eq!(of(1, 16), "16 B in 1 allocation");
    assert_eq!(of(0, 0), "0 B in 0 allocations");
    assert_eq!(of(3401, 1_240_000), "1.2 MB in 3401 allocations");
    assert_eq!(of(2, 2_048), "2.0 kB in 2 allocations");
}

#[test]
fn a_program_that_exits_in_an_init_says_in_which() {
    let mut events = whole();
    events.truncate(9);
    events.push(exit(190));
    let timeline = timeline(&events);
    assert_eq!(inits(&timeline)[1], ("errors".to_owned(), 171, 19, false));
    assert_eq!(phases(&timeline).last(), Some(&("package_init", 171, 19, false)));
    assert_eq!(timeline.to_main, None);
}

#[test]
fn a_program_still_in_its_init_is_shown_so_far() {
    let mut events = whole();
    events.truncate(9);
    let timeline = timeline(&events);
    assert_eq!(inits(&timeline)[1], ("errors".to_owned(), 171, 829, false));
    assert_eq!(timeline.ended, None);
}

#[test]
fn an_exit_of_one_thread_is_not_the_end() {
    let mut events = whole();
    events.insert(9, exit(175));
    assert_eq!(timeline(&events).ended, Some(Nanos(300)));
}

#[test]
fn an_exit_of_a_thread_ends_nothing_while_the_process_lives() {
    let observation = observation(None);
    let timeline = StartupTimeline::of(&whole(), &catalogue(), &NoSymbols, &observation);
    assert_eq!(timeline.ended, None);
    assert_eq!(phases(&timeline).last(), Some(&("main", 200, 800, false)));
}

#[test]
fn a_lost_exit_is_made_up_for_by_the_parents_word() {
    let mut events = whole();
    events.pop();
    let observation = observation(Some(Nanos(500)));
    assert_eq!(StartupTimeline::of(&events, &catalogue(), &NoSymbols, &observation).ended, Some(Nanos(500)));
}

#[test]
fn what_follows_another_exec_belongs_to_another_program() {
    let mut events = whole();
    events.truncate(9);
    events.push(exec(185, "true"));
    events.extend(whole().into_iter().skip(1));
    let timeline = timeline(&events);
    assert_eq!(timeline.replaced_by.as_deref(), Some("true"));
    assert_eq!(timeline.ended, Some(Nanos(185)));
    assert_eq!(timeline.inits.len(), 2);
    assert_eq!(timeline.to_main, None);
}

#[test]
fn a_boundary_without_a_mark_leaves_out_the_phases_beside_it() {
    let mut events = whole();
    events.retain(|event| !matches!(event.kind, EventKind::Hit(Hit { probe: Probe::RuntimeMain, .. })));
    let timeline = timeline(&events);
    let names: Vec<_> = phases(&timeline).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["exec", "dynamic_link", "package_init", "main"]);
    assert_eq!(timeline.unmarked, [Probe::RuntimeMain]);
}

/// As for a Go version whose inits' layout is not known.
#[test]
fn inits_that_were_not_probed_leave_out_their_phase_and_the_one_before() {
    let mut events = whole();
    events.retain(|event| !matches!(event.kind, EventKind::Hit(Hit { probe: Probe::Init, .. })));
    let sites = [(Probe::GcEnable, VirtAddr(SITE)), (Probe::MainMain, VirtAddr(SITE))];
    let catalogue = InitCatalogue::new([], sites);
    let observation = observation(None);
    let of = |events: &[Event]| StartupTimeline::of(events, &catalogue, &NoSymbols, &observation);
    let names = |timeline: &StartupTimeline| -> Vec<_> {
        phases(timeline).into_iter().map(|(name, ..)| name).collect()
    };
    let whole = of(&events);
    assert_eq!(names(&whole), ["exec", "dynamic_link", "runtime_bootstrap", "main"]);
    assert_eq!((&whole.unmarked[..], whole.to_main), (&[Probe::Init][..], Some(Nanos(100))));
    assert!(whole.inits.is_empty());
    // One that hangs in a package's init is not shown as hanging in the runtime's.
    events.retain(|event| event.time <= Nanos(160));
    let hanging = of(&events);
    assert_eq!(names(&hanging), ["exec", "dynamic_link", "runtime_bootstrap"]);
    assert_eq!(hanging.unmarked, [Probe::Init]);
}

#[test]
fn a_program_without_any_package_init_goes_straight_to_main() {
    let mut events = whole();
    let is_init = |event: &Event| matches!(event.kind, EventKind::Hit(Hit { probe: Probe::Init, .. }));
    events.retain(|event| !is_init(event) || event.time < Nanos(160));
    let timeline = timeline(&events);
    assert_eq!(phases(&timeline)[3..5], [("runtime_init", 150, 50, true), ("package_init", 200, 0, true)]);
    assert!(timeline.unmarked.is_empty());
}

#[test]
fn an_unknown_task_is_shown_by_its_address() {
    let mut events = whole();
    events.insert(11, hit(190, Probe::Init, 0x999));
    let timeline = timeline(&events);
    assert_eq!(inits(&timeline)[3], ("?0x999".to_owned(), 190, 10, true));
    assert!(timeline.inits[3].is_unresolved());
}

#[test]
fn no_events_give_an_empty_timeline() {
    let timeline = timeline(&[]);
    assert_eq!(phases(&timeline), [("exec", 100, 900, false)]);
    assert!(timeline.inits.is_empty());
}

#[test]
fn an_init_ends_with_its_thread_and_the_process_with_its_last() {
    let mut events = whole();
    events.truncate(events.len() - 2);
    let of_another = Event { time: Nanos(400), tid: 2, kind: EventKind::Exit };
    events.extend([exit(300), of_another]);
    let observation = Observation { closing: Some(account(300)), ..observation(Some(Nanos(500))) };
    let timeline = StartupTimeline::of(&events, &catalogue(), &NoSymbols, &observation);
    let last = timeline.inits.last().unwrap();
    assert_eq!((last.wall, last.done), (Nanos(118), false));
    assert_eq!(last.parts.unwrap().remainder, Nanos(0));
    assert_eq!(timeline.ended, Some(Nanos(400)));
}

#[test]
fn an_assist_is_charged_to_the_phase_and_the_init_in_which_it_ends() {
    let assist =
        |time, nanos: u64, tid| Event { tid, ..hit(time, Probe::GcAssist, nanos.wrapping_sub(BIAS)) };
    let mut events = whole();
    let main = events.iter().position(Event::is_main).unwrap();
    // What is left for the next one, and another thread's, are nobody's here.
    let assists = [assist(185, 70_000, 1), assist(186, 5_000, 1), assist(187, 90_000, 2)];
    events.splice(main..main, assists);
    let of = |probes: &[Probe]| {
        let catalogue = catalogue_probed_at(probes);
        StartupTimeline::of(&events, &catalogue, &NoSymbols, &observation(Some(Nanos(500))))
    };
    let timeline = of(&[Probe::Init, Probe::GcAssist]);
    let of_inits = timeline.inits.iter().map(|init| init.parts.unwrap().assist);
    assert_eq!(of_inits.collect::<Vec<_>>(), [0, 0, 70_000].map(|time| Some(Nanos(time))));
    let of_phases = timeline.phases.iter().filter_map(|phase| phase.parts?.assist);
    assert_eq!(of_phases.sum::<Nanos>(), Nanos(70_000));
    assert!(of(&[Probe::Init]).inits.iter().all(|init| init.parts.unwrap().assist.is_none()));
}

#[test]
fn a_sysmon_whose_thread_came_late_is_a_step_of_the_phase_in_which_it_came() {
    let steps = |at: u64| -> Vec<(&'static str, &'static str, u64, u64)> {
        let mut events = whole();
        let next = events.iter().position(|event| event.time.0 > at).unwrap();
        events.insert(next, Event { tid: 2, ..hit(at, Probe::Sysmon, 0) });
        let timeline = timeline(&events);
        let steps = timeline.phases.iter().flat_map(|phase| {
            phase.steps.iter().map(|step| (phase.name.name(), step.name, step.start.0, step.duration.0))
        });
        steps.filter(|(_, name, ..)| *name == "sysmon").collect()
    };
    assert_eq!(steps(153), [("runtime_init", "sysmon", 153, 18)]);
    assert_eq!(steps(175), [("package_init", "sysmon", 175, 25)]);
    assert_eq!(steps(250), []);
}
