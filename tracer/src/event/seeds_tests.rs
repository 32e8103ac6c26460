//! What the fuzz target `event` starts from: every kind of record, with its length before it, the sums of the maps, and
//! a report's lines. `GOTRACE_BLESS=1` writes it anew.

use std::collections::BTreeSet;
use std::path::Path;

use tracer_ebpf::wire::{self, Header, Probe};
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes};

use super::{DecodeError, blocking, decode, gc, parking, profile};

/// A record of that probe, with zeroes in it but for what is put there.
fn record<T: FromBytes + IntoBytes + Immutable>(probe: Probe, fill: impl FnOnce(&mut T)) -> Vec<u8> {
    let mut record = T::new_zeroed();
    fill(&mut record);
    let mut bytes = record.as_bytes().to_vec();
    let header = Header { time: 1000 + probe as u64, probe: probe as u32, tid: 7 };
    bytes[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    bytes
}

fn framed(records: &[Vec<u8>]) -> Vec<u8> {
    let frame = |record: &Vec<u8>| [&u16::try_from(record.len()).unwrap().to_le_bytes()[..], record].concat();
    records.iter().flat_map(frame).collect()
}

fn of_starts() -> Vec<Vec<u8>> {
    vec![
        record(Probe::NewFile, |new: &mut wire::watch::NewFile| new.file.inode = 5),
        record(Probe::Exec, |exec: &mut wire::process::Exec| exec.comm[..3].copy_from_slice(b"app")),
        record(Probe::Origin, |origin: &mut wire::watch::Origin| origin.binary = 1),
        record(Probe::Init, |hit: &mut wire::startup::Hit| hit.argument = 0x40_1000),
        record(Probe::Wait, |wait: &mut wire::account::Wait| {
            (wait.duration, wait.depth) = (9_000_000, 2);
            wait.stack[..2].copy_from_slice(&[0x40_2000, 0x40_3000]);
        }),
        record(Probe::Call, |call: &mut wire::syscall::Call| {
            (call.syscall, call.object_len) = (wire::syscall::number::OPENAT, 5);
            call.object[..5].copy_from_slice(b"/etc\0");
        }),
        record(Probe::MainMain, |_: &mut wire::startup::Hit| {}),
        record(Probe::Listen, |_: &mut wire::watch::Listen| {}),
        record(Probe::Exit, |_: &mut wire::process::Exit| {}),
    ]
}

fn of_running() -> Vec<Vec<u8>> {
    vec![
        record(Probe::Slow, |slow: &mut wire::blocking::Slow| {
            (slow.duration, slow.key.caller) = (30_000_000, 2);
            slow.object =
                wire::blocking::Object { mode: 0o140_777, family: 2, socket_type: 1, ..slow.object };
            (slow.object.local_port, slow.object.peer_port) = (4242, 443_u16.to_be());
        }),
        record(Probe::Woken, |woken: &mut wire::parking::Woken| {
            (woken.parked.ready, woken.parked.waker_goid) = (7, 18);
            woken.parked.waker = parking::Waker::Goroutine as u32;
        }),
        record(Probe::GcCycle, |cycle: &mut wire::gc::Cycle| cycle.monotonic = 4),
        record(Probe::WorldStarted, |stop: &mut wire::gc::Stop| {
            (stop.started, stop.finished, stop.total, stop.depth) = (1, 2, 3, 1);
            stop.stacks[0][0] = 0x40_2000;
        }),
    ]
}

/// A key and its value, as the largest of the maps have them.
fn of_maps() -> Vec<u8> {
    let mut sums = (wire::blocking::Key::new_zeroed(), wire::blocking::Stats::new_zeroed());
    (sums.0.stack, sums.0.kind, sums.0.caller) = (3, 1, 2);
    (sums.1.count, sums.1.total, sums.1.histogram[9]) = (1, 700, 1);
    [sums.0.as_bytes(), sums.1.as_bytes()].concat()
}

#[test]
fn seeds_are_of_every_kind() {
    let records = [of_starts(), of_running()].concat();
    let decoded: BTreeSet<Probe> = records.iter().map(|record| decode(record).unwrap().probe()).collect();
    for probe in Probe::ALL {
        let header = Header { time: 0, probe: probe as u32, tid: 0 };
        let is_only_counted = matches!(decode(header.as_bytes()), Err(DecodeError::OnlyCounted { .. }));
        // Steps of the runtime are all one kind of record.
        let is_a_step = decode(&record(probe, |_: &mut wire::startup::Hit| {}))
            .is_ok_and(|event| matches!(event.kind, super::EventKind::Hit(_)));
        assert!(is_only_counted || is_a_step || decoded.contains(&probe), "no seed has a record of {probe}");
    }
    let sums = of_maps();
    let (key, stats) = wire::blocking::Key::read_from_prefix(&sums).unwrap();
    assert!(blocking::CallTotal::new(&key, &wire::blocking::Stats::read_from_bytes(stats).unwrap()).is_ok());
    assert!(profile::Samples::new(&wire::profile::Sample::new_zeroed(), 1).is_ok());
    let (key, stats) = (wire::gc::AssistKey::new_zeroed(), wire::gc::AssistStats::default());
    assert_eq!(gc::Assist::new(&key, &stats).count, 0);

    let report = &include_bytes!("../export/golden/startup.ndjson")[..];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/event");
    let seeds = [
        ("starts", framed(&of_starts())),
        ("running", framed(&of_running())),
        ("sums", sums),
        ("report", report.to_vec()),
    ];
    for (name, bytes) in seeds {
        let path = folder.join(name);
        if std::env::var_os("GOTRACE_BLESS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(kept == bytes, "{name} is out of date: run with GOTRACE_BLESS=1");
    }
}
