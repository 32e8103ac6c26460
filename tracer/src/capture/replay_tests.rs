//! What a capture's report is made from is what the live one was made from.

use proptest::prelude::*;
use std::collections::BTreeMap;
use tracer_ebpf::wire::account::{Account, MAX_DEPTH, Wait, WaitKind};
use tracer_ebpf::wire::process::Exec;
use tracer_ebpf::wire::startup::{Heap, Hit};
use tracer_ebpf::wire::{Header, Probe};
use zerocopy::IntoBytes as _;

use super::record::{Begin, End, Start, Starts, Verb};
use super::*;
use crate::event;
use crate::export::{Export as _, InitOrder, Ndjson, Text};
use crate::model::{
    Ending, InitCatalogue, InitFunction, MissingProbe, Observation, Report, StartInput, Subject, Symbols,
};
use crate::probe::Costs;
use crate::target::gobin::{Frame, GoVersion, InitTask, Linking, VersionSource, wait_reason};
use crate::units::{Nanos, RuntimeAddr, VirtAddr};

const GO: &str = "go1.26.6";

/// Every address is a function of its own; of some nothing is known.
struct Known;

impl Symbols for Known {
    fn frames(&self, address: RuntimeAddr) -> Vec<Frame> {
        let frame = |inlined| Frame {
            function: format!("example.com/app.f{}", address.0).into(),
            file: address.0.is_multiple_of(2).then(|| format!("/src/\u{202e}{}.go", address.0).into()),
            line: 7,
            inlined,
            begins: 3,
            address: Some(VirtAddr(address.0)),
        };
        match address.0 % 3 {
            0 => Vec::new(),
            1 => vec![frame(false)],
            _ => vec![frame(true), frame(false)],
        }
    }

    fn wait_reason(&self, number: u8) -> Option<&'static str> {
        wait_reason(&GoVersion::parse(GO, VersionSource::BuildInfo)?, number)
    }
}

fn catalogue() -> InitCatalogue {
    let tasks = (0..4_u64).map(|number| {
        let address = VirtAddr(0x1000 + number);
        let name = format!("example.com/app/p{number}.init");
        let function = InitFunction { name, file: None, line: 3, site: None };
        let package = format!("example.com/app/p{number}");
        (InitTask { address, package, functions: vec![address], dependencies: Vec::new() }, vec![function])
    });
    let sites = [Probe::Init, Probe::GcEnable, Probe::MainMain, Probe::GoEntry, Probe::RuntimeMain];
    InitCatalogue::new(tasks, sites.map(|probe| (probe, VirtAddr(0x10))))
}

fn subject() -> Subject {
    Subject {
        pid: 7,
        parent: None,
        watched: false,
        exe: "/srv/app".into(),
        go_version: GO.to_owned(),
        module: Some("example.com/app".to_owned()),
        linking: Linking {
            pie: true,
            interpreter: None,
            libraries: Vec::new(),
            cgo: false,
            stripped: false,
            dwarf: true,
        },
        code: None,
        kernel: "6.1.0".to_owned(),
        wall_clock_unix_ns: 1_700_000_000_000_000_000,
        repetition: None,
    }
}

fn begin() -> Begin {
    Begin {
        gotrace: "0.1.0".to_owned(),
        verb: Verb::Run,
        subject: subject(),
        began: Nanos(5),
        followed: None,
        collector: None,
        starts: Some(Starts {
            catalogue: catalogue(),
            missing: Vec::new(),
            gc: false,
            top: 3,
            in_order: true,
        }),
    }
}

fn account(time: u64) -> Account {
    Account { on_cpu: time / 2, runnable: time / 3, ..Account::default() }
}

/// What the kernel side may write of a start, at any times.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let probes = vec![Probe::GoEntry, Probe::RuntimeMain, Probe::GcEnable, Probe::Init, Probe::MainMain];
    let header = |time, probe| Header { time, probe: probe as u32, tid: 7 };
    let hit =
        (10_u64..2_000_000, prop::sample::select(probes), 0_u64..6).prop_map(move |(time, probe, task)| {
            let hit = Hit {
                header: header(time, probe),
                ip: 0x10 + 0x5000,
                argument: 0x1000 + task + 0x5000,
                account: account(time),
                heap: if task == 3 { Heap::UNKNOWN } else { Heap { allocs: time, bytes: 8 * time } },
            };
            hit.as_bytes().to_vec()
        });
    let wait = (10_u64..2_000_000, 0..WaitKind::ALL.len() as u32 + 1, any::<u8>(), 0_u64..8).prop_map(
        move |(time, kind, reason, depth)| {
            let wait = Wait {
                header: header(time, Probe::Wait),
                start: time / 2,
                duration: time / 3,
                ip: time,
                syscall: 202,
                arguments: [1, 2, 3],
                polled_syscall: u64::MAX,
                polled_fd: u64::MAX,
                goid: 1,
                kind,
                wait_reason: u32::from(reason % 40),
                depth,
                stack: std::array::from_fn::<u64, MAX_DEPTH, _>(|index| time + index as u64),
            };
            wait.as_bytes().to_vec()
        },
    );
    let exec = (10_u64..1000).prop_map(move |time| {
        let exec = Exec {
            header: header(time, Probe::Exec),
            comm: *b"app\0\0\0\0\0\0\0\0\0\0\0\0\0",
            account: account(9),
        };
        exec.as_bytes().to_vec()
    });
    prop_oneof![6 => hit, 2 => wait, 1 => exec, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

fn input(ended: bool) -> StartInput {
    let missing = MissingProbe {
        probe: "sysmon".into(),
        function: "f".into(),
        reason: "r\u{1b}".into(),
        is_detail: true,
    };
    StartInput {
        subject: subject(),
        observation: Observation {
            gone: ended.then_some(Nanos(2_000_001)),
            ..Observation::until(Nanos(3), Nanos(2_000_000))
        },
        ending: if ended { Ending::Killed(9) } else { Ending::Running },
        missing: vec![missing],
        losses: Vec::new(),
        undecodable: 3,
        ready_when: Some("accept".to_owned()),
        heap: Some(crate::model::HeapWanted::Of { most_ps: 64 }),
        gc: None,
        importers: BTreeMap::new(),
        costs: ended.then_some(Costs { hit: Nanos(900), syscall: Nanos(80), page: Nanos(2_900), pages: 24 }),
    }
}

/// Everything that a report tells.
fn told(report: &Report) -> String {
    let mut out = Vec::new();
    Ndjson.start(report, &mut out).unwrap();
    Text { order: InitOrder::Run, inits: 0, rows: 0, color: false }.start(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The live report of these records, and a capture of them.
fn live(records: &[Vec<u8>], ended: bool) -> (String, Vec<u8>) {
    let events: Vec<_> = records.iter().filter_map(|record| event::decode(record).ok()).collect();
    let symbols = RecordedSymbols::new(&Known);
    let report = Report::of_start(input(ended), &catalogue(), &events, None, &symbols);
    let mut capture = Vec::new();
    let mut writer = Writer::new(&mut capture).unwrap();
    writer.record(&Record::Begin(Box::new(begin()))).unwrap();
    for record in records {
        writer.ring(record).unwrap();
    }
    writer.flush().unwrap();
    symbols.records().for_each(|symbols| writer.record(&symbols).unwrap());
    let start = Start { input: input(ended), unlisted: InitCatalogue::default(), left_out: 0 };
    writer.record(&Record::Start(Box::new(start))).unwrap();
    writer.record(&Record::End(End::default())).unwrap();
    writer.flush().unwrap();
    drop(writer);
    (told(&report), capture)
}

proptest! {
    #[test]
    fn a_captures_report_is_the_live_one(records in prop::collection::vec(record(), 0..60), ended in any::<bool>()) {
        let (live, capture) = live(&records, ended);
        let mut replay = Replay::new(&capture[..]).unwrap();
        prop_assert_eq!(told(&replay.next_start().unwrap().unwrap()), live);
        prop_assert!(replay.next_start().unwrap().is_none());
        prop_assert!(replay.is_whole());
    }

    #[test]
    fn no_time_is_too_large_to_be_told(
        records in prop::collection::vec(record(), 1..40),
        times in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..19, any::<u64>()), 1..20),
    ) {
        let mut records = records;
        for (index, word, value) in times {
            let record = index.get_mut(&mut records);
            if let Some(word) = record.get_mut(8 * word..8 * word + 8).filter(|_| word != 1) {
                word.copy_from_slice(&value.to_le_bytes());
            }
        }
        let (live, capture) = live(&records, true);
        prop_assert_eq!(told(&Replay::new(&capture[..]).unwrap().next_start().unwrap().unwrap()), live);
    }

    #[test]
    fn a_capture_that_is_cut_or_changed_anywhere_is_told_or_refused(
        records in prop::collection::vec(record(), 0..20), cut in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let (live, capture) = live(&records, false);
        let at = cut.index(capture.len());
        let tell = |bytes: &[u8]| {
            let mut replay = Replay::new(bytes)?;
            let first = replay.next_start()?.map(|report| told(&report));
            while replay.next_start()?.is_some() {}
            Ok::<_, CaptureError>((first, replay.is_whole()))
        };
        if let Ok((_, whole)) = tell(&capture[..at]) {
            prop_assert!(!whole, "cut at {}", at);
        }
        let mut changed = capture.clone();
        changed[at] ^= 1 << bit;
        if let Ok((Some(first), true)) = tell(&changed) {
            prop_assert_eq!(first, live);
        }
    }
}

fn some_records() -> Vec<Vec<u8>> {
    let hit = |time, probe, task: u64| {
        let header = Header { time, probe: probe as u32, tid: 7 };
        let hit =
            Hit { header, ip: 0x10, argument: 0x1000 + task, account: account(time), heap: Heap::UNKNOWN };
        hit.as_bytes().to_vec()
    };
    vec![hit(100, Probe::GoEntry, 0), hit(200, Probe::Init, 1), hit(300, Probe::Init, 2)]
}

#[test]
fn a_start_that_was_cut_is_told_as_far_as_it_came_and_says_so() {
    let records = some_records();
    let mut capture = Vec::new();
    let mut writer = Writer::new(&mut capture).unwrap();
    writer.record(&Record::Begin(Box::new(begin()))).unwrap();
    records.iter().for_each(|record| writer.ring(record).unwrap());
    writer.flush().unwrap();
    drop(writer);
    let mut replay = Replay::new(&capture[..]).unwrap();
    let told = told(&replay.next_start().unwrap().unwrap());
    assert!(!replay.is_whole());
    assert!(told.contains("example.com/app/p1") && told.contains("example.com/app/p2"), "{told}");
    assert!(told.contains("not probed: capture (the rest of it): it ends here"), "{told}");
    assert!(told.contains("\"complete\":false"), "{told}");
}

#[test]
fn what_was_left_out_of_a_capture_is_told() {
    let mut capture = Vec::new();
    let mut writer = Writer::new(&mut capture).unwrap();
    writer.record(&Record::Begin(Box::new(begin()))).unwrap();
    let start = Start { input: input(true), unlisted: InitCatalogue::default(), left_out: 17 };
    writer.record(&Record::Start(Box::new(start))).unwrap();
    writer.flush().unwrap();
    drop(writer);
    let told = told(&Replay::new(&capture[..]).unwrap().next_start().unwrap().unwrap());
    assert!(told.contains("17 records of the kernel side were left out"), "{told}");
}

#[test]
fn a_capture_of_nothing_and_one_without_a_begin_are_refused() {
    let mut capture = Vec::new();
    Writer::new(&mut capture).unwrap().flush().unwrap();
    assert!(matches!(Replay::new(&capture[..]).map(|_| ()), Err(CaptureError::Empty)));
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.record(&Record::End(End::default())).unwrap();
    writer.flush().unwrap();
    assert!(Replay::new(&writer.out()[..]).is_err());
}

/// What the fuzz target starts from: what is in a block. `GOTRACE_BLESS=1` writes it anew.
#[test]
fn seeds_are_small_captures() {
    let whole = live(&some_records(), true).1;
    let cut = {
        let mut writer = Writer::new(Vec::new()).unwrap();
        writer.record(&Record::Begin(Box::new(begin()))).unwrap();
        some_records().iter().for_each(|record| writer.ring(record).unwrap());
        writer.flush().unwrap();
        std::mem::take(writer.out())
    };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/capture");
    let followed = following_tests::some_session();
    for (name, capture) in [("whole", whole), ("cut", cut), ("followed", followed)] {
        let mut plain = Vec::new();
        let mut blocks = &capture[12..];
        while let Some((length, rest)) = blocks.split_first_chunk::<4>() {
            let (frame, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
            plain.extend(zstd::bulk::decompress(frame, MOST_PLAIN).unwrap());
            blocks = rest;
        }
        let path = folder.join(name);
        if std::env::var_os("GOTRACE_BLESS").is_some() {
            std::fs::write(&path, &plain).unwrap();
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(kept == plain, "{name} is out of date: run with GOTRACE_BLESS=1");
    }
}

/// Makes the capture that is kept of this version, from one that was recorded just now: `GOTRACE_CAPTURE` names it.
#[test]
#[ignore = "once for each version of the format; see tests/captures/README.md"]
fn keep_a_capture_of_this_version() {
    let recorded = std::fs::read(std::env::var_os("GOTRACE_CAPTURE").unwrap()).unwrap();
    let mut reader = Reader::new(&recorded[..]).unwrap();
    let kept = format!("{}/tests/captures/v{VERSION}.gotrace", env!("CARGO_MANIFEST_DIR"));
    let mut writer = Writer::new(std::fs::File::create(kept).unwrap()).unwrap();
    // Nobody needs to know where it was recorded.
    let elsewhere = |subject: &mut Subject| {
        subject.exe = std::path::Path::new("/srv").join(subject.exe.file_name().unwrap());
        subject.kernel = "6.18.44".to_owned();
    };
    while let Some(mut record) = reader.next_record().unwrap() {
        match &mut record {
            Record::Begin(begin) => elsewhere(&mut begin.subject),
            Record::Start(start) => elsewhere(&mut start.input.subject),
            Record::Look(looked) => elsewhere(&mut looked.look.subject),
            _ => {}
        }
        writer.record(&record).unwrap();
    }
    writer.flush().unwrap();
}
