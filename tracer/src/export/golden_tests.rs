//! One report by hand, and the text and NDJSON that it must give, to the letter.

use std::path::PathBuf;

use tracer_ebpf::wire::Probe;

use super::{Export, InitOrder, Ndjson, Text};
use crate::model::{
    Ending, Init, InitName, MissingProbe, Phase, PhaseName, Report, StartupTimeline, Step, Subject,
};
use crate::stream::ProbeLoss;
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
    Init { name, start: Nanos(start), wall: Nanos(wall), done: true, parts: None }
}

fn package(name: &str) -> InitName {
    InitName::Package(name.to_owned())
}

fn report() -> Report {
    Report {
        subject: Subject {
            pid: 42,
            exe: PathBuf::from("/srv/app"),
            go_version: "go1.26.6".to_owned(),
            module: Some("example.com/app".to_owned()),
            dynamic: true,
            kernel: "6.12.1".to_owned(),
            wall_clock_unix_ns: 1_700_000_000_000_000_000,
            repetition: None,
        },
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
                init(package("evil\u{1b}[2J"), 1_001_000, 2_000_000),
                init(InitName::Unknown(VirtAddr(0x999)), 3_001_000, 1_000_000),
            ],
            to_main: Some(Nanos(4_000_000)),
            ended: None,
            replaced_by: None,
            unmarked: Vec::new(),
            waits: Vec::new(),
            libraries: Vec::new(),
            ready: None,
        },
        ending: Ending::Running,
        missing: vec![MissingProbe {
            probe: "schedinit_done",
            function: "runtime.rt0_go".to_owned(),
            reason: "its code has no single call of the function".to_owned(),
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
    export.write(&report(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_is_as_it_was() {
    let text = Text { order: InitOrder::Slowest, inits: 3, color: false };
    assert_eq!(written(&text), include_str!("golden/startup.txt"));
}

#[test]
fn ndjson_is_as_it_was() {
    let version = format!("\"gotrace\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let expected = include_str!("golden/startup.ndjson").replace("\"gotrace\":\"VERSION\"", &version);
    assert_eq!(written(&Ndjson), expected);
}

#[test]
fn colours_are_only_added() {
    let plain = written(&Text { order: InitOrder::Run, inits: 0, color: false });
    let coloured = written(&Text { order: InitOrder::Run, inits: 0, color: true });
    assert_ne!(plain, coloured);
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}
