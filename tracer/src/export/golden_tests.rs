//! One report by hand, and the text and NDJSON that it must give, to the letter.

use std::path::PathBuf;

use tracer_ebpf::wire::Probe;

use super::csv::Csv;
use super::inittrace::Inittrace;
use super::{Export, InitOrder, Ndjson, StartupFlame, Text};
use crate::event::{Account, WaitKind};
use crate::model::{
    Allocated, Cause, Counts, Ending, Init, InitFunction, InitName, Library, MissingProbe, NamedCall, Parts,
    Phase, PhaseName, Report, Started, StartupTimeline, Step, Subject, TimedFunction, Wait,
};
use crate::stream::ProbeLoss;
use crate::target::gobin::{Frame, Linking};
use crate::units::{Nanos, VirtAddr};

fn phase(name: PhaseName, start: u64, duration: u64) -> Phase {
    let steps = match name {
        PhaseName::RuntimeBootstrap => {
            vec![Step { name: "schedinit", start: Nanos(start + 10), duration: Nanos(5) }]
        }
        _ => Vec::new(),
    };
    Phase {
        name,
        start: Nanos(start),
        duration: Nanos(duration),
        done: name != PhaseName::Main,
        steps,
        parts: None,
    }
}

fn init(name: InitName, start: u64, wall: u64) -> Init {
    Init::over(name, Nanos(start), Nanos(wall))
}

/// An init that slept, with all that can be told of one.
fn told(mut init: Init) -> Init {
    let mut after = Account { on_cpu: 100_000, runnable: 30_000, ..Account::default() };
    after.blocked[WaitKind::Sleep as usize] = 1_800_000;
    (after.minor_faults, after.major_faults, after.syscalls) = (12, 1, 7);
    let mut parts = Parts::between(&Account::default(), &after, init.wall);
    parts.assist = Some(Nanos(60_000));
    init.parts = Some(parts);
    init.module = Some("evil@v1.2.3".to_owned());
    init.started = Some(Started { total: 3, at_main: 2 });
    init.heap = Some(Allocated { allocs: 3_401, bytes: 17_200_000 });
    let function = |name: &str, line, start, wall| TimedFunction {
        function: InitFunction {
            name: name.to_owned(),
            file: Some("/src/evil.go".to_owned()),
            line,
            site: None,
        },
        start: Some(Nanos(start)),
        wall: Some(Nanos(wall)),
    };
    init.functions =
        vec![function("evil.init", 3, 1_001_000, 10_000), function("evil.init.0", 9, 1_011_000, 1_990_000)];
    init
}

fn wait() -> Wait {
    let frame = |function: &str, line| Frame {
        function: function.into(),
        file: Some("/src/evil.go".into()),
        line,
        inlined: false,
        begins: 0,
        address: None,
    };
    Wait {
        init: Some(2),
        start: Nanos(1_100_000),
        duration: Nanos(1_800_000),
        cause: Cause::Sleep,
        syscall: Some("futex".to_owned()),
        reason: Some("sleep"),
        object: None,
        goid: Some(1),
        stack: vec![frame("time.Sleep", 1), frame("evil\u{1b}[2J.init.0", 10)],
    }
}

fn library() -> Library {
    let path = "/lib/libc.so.6".to_owned();
    Library { path, init: None, start: Nanos(120_000), duration: Nanos(40_000), bytes: 2_000_000 }
}

fn package(name: &str) -> InitName {
    InitName::Package(name.to_owned())
}

/// Whose reports all golden files are.
pub(super) fn subject() -> Subject {
    Subject {
        pid: 42,
        parent: None,
        watched: false,
        exe: PathBuf::from("/srv/app"),
        go_version: "go1.26.6".to_owned(),
        module: Some("example.com/app".to_owned()),
        linking: Linking {
            pie: false,
            interpreter: Some("/lib64/ld-linux-x86-64.so.2".to_owned()),
            libraries: Vec::new(),
            cgo: false,
            stripped: true,
            dwarf: false,
        },
        code: None,
        kernel: "6.12.1".to_owned(),
        wall_clock_unix_ns: 1_700_000_000_000_000_000,
        repetition: None,
    }
}

/// A golden file as this version of gotrace would write it.
pub(super) fn of_this_version(golden: &str) -> String {
    let version = format!("\"gotrace\":\"{}\"", env!("CARGO_PKG_VERSION"));
    golden.replace("\"gotrace\":\"VERSION\"", &version)
}

/// A start in which everything is that can be told of one.
pub(super) fn report() -> Report {
    Report {
        subject: subject(),
        timeline: StartupTimeline {
            begin: Nanos(1_000),
            phases: vec![
                phase(PhaseName::Exec, 1_000, 100_000),
                phase(PhaseName::DynamicLink, 101_000, 100_000),
                phase(PhaseName::RuntimeBootstrap, 201_000, 200_000),
                phase(PhaseName::RuntimeInit, 401_000, 100_000),
                phase(PhaseName::PackageInit, 501_000, 3_500_000),
                phase(PhaseName::Main, 4_001_000, 9_000_000),
            ],
            inits: vec![
                init(package("runtime"), 410_000, 20_000),
                init(package("net/http"), 501_000, 500_000),
                told(init(package("evil\u{1b}[2J"), 1_001_000, 2_000_000)),
                init(InitName::Unknown(VirtAddr(0x999)), 3_001_000, 1_000_000),
            ],
            to_main: Some(Nanos(4_000_000)),
            ended: None,
            replaced_by: None,
            unmarked: Vec::new(),
            waits: vec![wait()],
            calls: vec![NamedCall {
                init: Some(2),
                time: Nanos(1_050_000),
                syscall: "openat",
                object: "/etc/evil.conf".to_owned(),
                result: -2,
            }],
            throttled: None,
            libraries: vec![library()],
            ready: Some(Nanos(6_001_000)),
            at_main: Some(Counts { threads: 4, ps: Some(2), goroutines: 7 }),
        },
        ending: Ending::Running,
        awaited: None,
        gc: None,
        overhead: Some(Nanos(123_456)),
        missing: vec![MissingProbe {
            probe: "schedinit_done".into(),
            function: "runtime.rt0_go".to_owned(),
            reason: "its code has no single call of the function".to_owned(),
            is_detail: false,
        }],
        losses: vec![
            ProbeLoss { probe: Probe::Init, hits: 5, dropped: 1 },
            ProbeLoss { probe: Probe::MainMain, hits: 1, dropped: 0 },
        ],
        undecodable: 0,
    }
}

fn written(export: &dyn Export) -> String {
    let mut out = Vec::new();
    export.start(&report(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_is_as_it_was() {
    let text = Text { order: InitOrder::Slowest, inits: 3, rows: 0, color: false };
    assert_eq!(written(&text), include_str!("golden/startup.txt"));
}

#[test]
fn ndjson_is_as_it_was() {
    assert_eq!(written(&Ndjson), of_this_version(include_str!("golden/startup.ndjson")));
}

#[test]
fn the_flame_chart_is_as_it_was() {
    let folded = |focus: Option<&str>| {
        let focus = focus.map(|focus| regex::Regex::new(focus).unwrap());
        let mut out = Vec::new();
        StartupFlame { focus }.write_folded(&report(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(folded(None), include_str!("golden/startup.folded"));
    let weight = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let whole: u64 = folded(None).lines().map(weight).sum();
    assert_eq!(Nanos(whole), report().timeline.to_main.unwrap(), "not all of the time before main.main");
    assert!(folded(Some("^net/http$")).lines().all(|line| line.starts_with("package_init;net/http ")));
}

#[test]
fn inittrace_is_as_go_prints_it() {
    assert_eq!(written(&Inittrace), include_str!("golden/startup.inittrace"));
}

#[test]
fn the_table_of_inits_is_as_it_was_and_has_every_field() {
    let table = written(&Csv);
    assert_eq!(table.replace("\r\n", "\n"), include_str!("golden/startup.csv"));
    all_fields_are_columns(&table, &report().init_lines().unwrap());
}

/// Every field of the lines is a column of the table, but for the type.
pub(super) fn all_fields_are_columns(table: &str, lines: &[serde_json::Value]) {
    let header: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    for (name, value) in lines.iter().flat_map(|line| line.as_object().unwrap()) {
        match value {
            _ if name == "type" => {}
            serde_json::Value::Object(object) => {
                for field in object.keys() {
                    assert!(header.contains(&format!("{name}.{field}").as_str()), "{name}.{field}");
                }
            }
            // A place that is not known has its columns too.
            serde_json::Value::Null
                if header.iter().any(|column| column.starts_with(&format!("{name}."))) => {}
            _ => assert!(header.contains(&name.as_str()), "{name}"),
        }
    }
}

#[test]
fn colours_are_only_added() {
    let plain = written(&Text { order: InitOrder::Run, inits: 0, rows: 0, color: false });
    let coloured = written(&Text { order: InitOrder::Run, inits: 0, rows: 0, color: true });
    assert_ne!(plain, coloured);
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}
