//! One report from tables made by hand, and what every format must make of it, to the letter.

use std::path::PathBuf;
use std::sync::Arc;

use tracer_ebpf::wire::Probe;
use tracer_ebpf::wire::blocking::bucket;

use super::csv::Csv;
use super::golden_tests::all_fields_are_columns;
use super::{BlockingFlame, BlockingText, Export as _, FlameBy, FlameOf};
use super::{gc, parking};
use crate::event::blocking::{BUCKETS, CallTotal, Caller, Key, Kind, Name, Object, Slow, Socket, StackTaken};
use crate::event::profile::Samples;
use crate::model::blocking::{BlockedNow, BlockingInput, BlockingReport, ObjectNames, Since, SlowCalls};
use crate::model::parking::ParkingReport;
use crate::model::{Ending, MissingProbe, Subject, Symbols};
use crate::stream::{ProbeLoss, Tables};
use crate::target::gobin::{CodeSegment, Frame, Linking};
use crate::units::{FileOffset, Nanos, RuntimeAddr, VirtAddr};

/// Functions of 100 bytes each, the first at 1000.
const CODE: [&str; 19] = [
    "internal/runtime/syscall.Syscall6",
    "internal/poll.(*FD).Read",
    "net.(*conn).Read",
    "main.fetch",
    "main.main",
    "internal/poll.(*FD).Accept",
    "net/http.(*Server).Serve",
    "main.save",
    "net.(*Resolver).exchange",
    "main.evil\u{1b}[2J;x <b> 7",
    "bufio.(*Reader).Peek",
    "net/http.(*conn).serve",
    "runtime.clone",
    "runtime.newm",
    "runtime.retake",
    "syscall.Flock",
    "main.lock",
    "main.lookup",
    "main.compute",
];

struct Crafted;

impl Symbols for Crafted {
    fn frames(&self, address: RuntimeAddr) -> Vec<Frame> {
        let index = address.0.checked_sub(1000).and_then(|at| usize::try_from(at / 100).ok());
        let function = index.and_then(|index| CODE.get(index));
        let frame = |function: &&str| Frame {
            function: (*function).into(),
            file: Some("/src/app/main.go".into()),
            line: u32::try_from(address.0 % 100).unwrap(),
            inlined: false,
            begins: 1,
            address: Some(VirtAddr(address.0)),
        };
        function.map(frame).into_iter().collect()
    }

    fn wait_reason(&self, _: u8) -> Option<&'static str> {
        None
    }
}

impl ObjectNames for Crafted {
    fn name(&self, object: &Object, _: Option<u64>) -> Option<String> {
        (object.inode == 7).then(|| "file /var/lib/\u{1b}[2J.db".to_owned())
    }
}

/// The address in a function, and a line of it; as a return address one byte more.
fn address(function: &str, line: u64) -> RuntimeAddr {
    let index = CODE.iter().position(|known| known.starts_with(function)).unwrap() as u64;
    RuntimeAddr(1000 + index * 100 + line)
}

/// The stacks, each under its number.
fn stacks() -> Vec<Vec<RuntimeAddr>> {
    let stack = |functions: &[(&str, u64)]| {
        let at = |(index, (function, line)): (usize, &(&str, u64))| {
            RuntimeAddr(address(function, *line).0 + u64::from(index > 0))
        };
        functions.iter().enumerate().map(at).collect::<Vec<_>>()
    };
    vec![
        stack(&[
            ("internal/runtime", 9),
            ("internal/poll.(*FD).Read", 5),
            ("net.(*conn)", 6),
            ("main.fetch", 12),
            ("main.main", 8),
        ]),
        stack(&[
            ("internal/runtime", 9),
            ("internal/poll.(*FD).Accept", 4),
            ("net/http.(*Server)", 3),
            ("main.main", 7),
        ]),
        stack(&[("internal/runtime", 9), ("main.save", 30), ("main.evil", 2), ("main.main", 9)]),
        stack(&[("internal/poll.(*FD).Read", 5), ("net.(*Resolver)", 3), ("main.lookup", 4)]),
        stack(&[("bufio.(*Reader)", 5), ("net/http.(*conn)", 40)]),
        stack(&[("runtime.clone", 5), ("runtime.newm", 4), ("runtime.retake", 40)]),
        stack(&[("internal/runtime", 9), ("syscall.Flock", 5), ("main.lock", 44)]),
        stack(&[("main.compute", 50), ("main.main", 10)]),
        vec![RuntimeAddr(7), RuntimeAddr(8)],
    ]
}

const READ: u64 = 0;
const SOCKET: u32 = libc::S_IFSOCK;

fn key(kind: Kind, caller: Caller, syscall: u64, file_type: Option<u32>, stack: StackTaken) -> Key {
    let gopc = (caller == Caller::Goroutine).then(|| RuntimeAddr(address("main.main", 20).0 + 1));
    Key { kind, caller, syscall, file_type, gopc, stack }
}

fn total(key: Key, durations: &[u64]) -> CallTotal {
    let mut histogram = vec![0; BUCKETS];
    for duration in durations {
        histogram[bucket(*duration)] += 1;
    }
    CallTotal {
        key,
        count: durations.len() as u64,
        errors: 0,
        joined: 0,
        total: Nanos(durations.iter().sum()),
        longest: Nanos(durations.iter().copied().max().unwrap_or(0)),
        histogram,
    }
}

fn tables() -> Tables {
    use Caller::{Goroutine, Runtime, Unknown};
    use Kind::{Call, NetworkWait, NoRetry};
    use StackTaken::{Lost, Taken, TooShort};
    let (fsync, flock, futex, epoll, clone, nanosleep) = (74, 73, 202, 281, 56, 35);
    let failed =
        CallTotal { errors: 2, joined: 1, ..total(key(Call, Goroutine, READ, None, TooShort), &[900; 5]) };
    let file = Some(libc::S_IFREG);
    Tables {
        calls: vec![
            total(key(NetworkWait, Goroutine, READ, Some(SOCKET), Taken(0)), &[50_000_000; 60]),
            total(key(NetworkWait, Goroutine, 288, Some(SOCKET), Taken(1)), &[9_000_000_000]),
            total(key(Call, Goroutine, fsync, file, Taken(2)), &[400_000_000, 600_000_000, 200_000_000]),
            total(key(NoRetry, Goroutine, READ, Some(SOCKET), Taken(3)), &[5_001_000_000; 2]),
            total(key(NetworkWait, Goroutine, READ, Some(SOCKET), Taken(4)), &[7_000_000_000]),
            failed,
            total(key(Call, Runtime, epoll, None, TooShort), &[4_000_000_000, 12_000]),
            total(key(Call, Runtime, futex, None, TooShort), &[8_000_000_000; 3]),
            total(key(Call, Runtime, clone, None, Taken(5)), &[30_000; 11]),
            total(key(Call, Goroutine, flock, file, Taken(6)), &[300_000_000]),
            total(key(Call, Goroutine, futex, None, Lost(-17)), &[25_000]),
            total(key(Call, Unknown, nanosleep, None, Taken(8)), &[1_000_000_000]),
        ],
        undecodable: 0,
        samples: vec![
            Samples { stack: Taken(7), caller: Goroutine, gopc: None, syscall: None, count: 42 },
            Samples { stack: Taken(2), caller: Goroutine, gopc: None, syscall: Some(fsync), count: 3 },
        ],
        stacks: (0..).zip(stacks()).collect(),
        in_syscall: Vec::new(),
        parked: Vec::new(),
        parking: None,
        assists: Vec::new(),
        throttled: None,
    }
}

fn slow_calls(tables: &Tables) -> SlowCalls {
    let mut slow = SlowCalls::new(false);
    let file =
        Object { device: (8, 1), inode: 7, mode: libc::S_IFREG | 0o644, socket: None, name: Name::NONE };
    let socket = Socket {
        socket_type: 1,
        local: "127.0.0.1:40000".parse().unwrap(),
        peer: Some("127.0.0.1:8080".parse().unwrap()),
    };
    let connection = Object { mode: libc::S_IFSOCK, inode: 9, socket: Some(socket), ..file };
    for (index, goid, object) in [(0, 17, connection), (2, 18, file), (9, 19, Object { inode: 8, ..file })] {
        let call = &tables.calls[index];
        let told = Slow {
            duration: call.longest,
            key: call.key,
            goid: Some(goid),
            result: 0,
            arguments: [goid - 10, 0, 0],
            object: Some(object),
        };
        slow.note(Nanos(2_000_000_000), 43, &told, &Crafted);
    }
    slow
}

fn blocked_now() -> Vec<BlockedNow> {
    let stack = |number: usize| {
        let mut at = stacks()[number].clone();
        at.iter_mut().skip(1).for_each(|address| address.0 -= 1);
        at.into_iter().flat_map(|address| Crafted.frames(address)).map(Arc::new).collect::<Vec<_>>()
    };
    let one = |goid, number, syscall: &str, object: &str, since| BlockedNow {
        goid,
        state: "syscall".into(),
        syscall: Some(syscall.to_owned()),
        wait_reason: None,
        tid: Some(44),
        fd: Some(5),
        object: Some(object.to_owned()),
        since,
        stack: stack(number),
        origin: None,
    };
    vec![
        one(21, 6, "flock", "file /run/app.lock", Some(Since::AtLatest(Nanos(500_000_000)))),
        one(22, 6, "flock", "file /run/app.lock", Some(Since::Exactly(Nanos(900_000_000)))),
        BlockedNow {
            state: "waiting".into(),
            wait_reason: Some("IO wait".into()),
            tid: None,
            ..one(23, 1, "accept4", "tcp 127.0.0.1:80 (listening)", None)
        },
        BlockedNow {
            state: "waiting".into(),
            syscall: None,
            fd: None,
            object: None,
            wait_reason: Some("chan receive".into()),
            tid: None,
            ..one(1, 7, "", "", None)
        },
    ]
}

fn subject() -> Subject {
    Subject {
        pid: 42,
        parent: None,
        watched: false,
        exe: PathBuf::from("/srv/app"),
        go_version: "go1.26.6".to_owned(),
        module: Some("example.com/app".to_owned()),
        linking: Linking {
            pie: false,
            interpreter: None,
            libraries: Vec::new(),
            cgo: false,
            stripped: true,
            dwarf: false,
        },
        code: Some(CodeSegment {
            start: VirtAddr(0),
            end: VirtAddr(0x1000),
            offset: FileOffset(0),
            build_id: Some("f00d".to_owned()),
        }),
        kernel: "6.12.1".to_owned(),
        wall_clock_unix_ns: 1_700_000_000_000_000_000,
        repetition: None,
    }
}

fn report(tables: &Tables, before: Option<&Tables>, blocked_now: Vec<BlockedNow>) -> BlockingReport {
    BlockingReport::of(BlockingInput {
        subject: subject(),
        began: Nanos(1_000_000_000),
        ended: Nanos(11_000_000_000),
        stack_from: Nanos(20_000),
        slow_from: Nanos(1_000_000),
        frequency: 99,
        tables,
        before,
        slow: &if blocked_now.is_empty() { SlowCalls::new(false) } else { slow_calls(tables) },
        blocked_now,
        losses: vec![
            ProbeLoss { probe: Probe::Slow, hits: 3, dropped: 0 },
            ProbeLoss { probe: Probe::Summed, hits: 89, dropped: 1 },
            ProbeLoss { probe: Probe::NetworkWait, hits: 64, dropped: 0 },
        ],
        undecodable: 0,
        missing: vec![MissingProbe {
            probe: "objects".into(),
            function: "task_struct.files".to_owned(),
            reason: "the kernel has no type information".to_owned(),
            is_detail: true,
        }],
        ending: Ending::Running,
        symbols: &Crafted,
    })
}

/// A report in which everything is that can be told.
pub(super) fn whole() -> BlockingReport {
    report(&tables(), None, blocked_now())
}

/// The same of a program that was followed with `--waits`, and whose collector was.
pub(super) fn with_parking_and_gc() -> BlockingReport {
    let parking = parking::tests::report(parking::tests::overhead());
    BlockingReport { parking: Some(parking), gc: Some(gc::tests::whole()), ..whole() }
}

fn written(write: impl Fn(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn text(report: &BlockingReport, color: bool) -> String {
    written(|out| BlockingText { rows: 10, color }.write(report, out).unwrap())
}

fn folded(flame: &BlockingFlame) -> String {
    written(|out| flame.write_folded(&whole(), out).unwrap())
}

#[test]
fn text_is_as_it_was() {
    assert_eq!(text(&whole(), false), include_str!("golden/blocking.txt"));
}

#[test]
fn ndjson_is_as_it_was() {
    let found = written(|out| whole().write_ndjson(out).unwrap());
    let version = format!("\"gotrace\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let found = found.replace(&version, "\"gotrace\":\"VERSION\"");
    assert_eq!(found, include_str!("golden/blocking.ndjson"));
}

#[test]
fn folded_stacks_are_as_they_were() {
    let by = |by| folded(&BlockingFlame { by, ..BlockingFlame::default() });
    let cpu = folded(&BlockingFlame { of: FlameOf::OnCpu, ..BlockingFlame::default() });
    let all = [by(FlameBy::Stack), by(FlameBy::Goroutine), by(FlameBy::Site), by(FlameBy::Object), cpu];
    assert_eq!(all.join("\n"), include_str!("golden/blocking.folded"));
}

#[test]
fn the_table_is_as_it_was_and_has_every_field() {
    let report = whole();
    let table = written(|out| Csv.running(&report, out).unwrap());
    assert_eq!(table.replace("\r\n", "\n"), include_str!("golden/blocking.csv"));
    all_fields_are_columns(&table, &report.blocking_lines().unwrap());
    let report = with_parking_and_gc();
    let table = written(|out| Csv.running(&report, out).unwrap());
    all_fields_are_columns(&table, &report.blocking_lines().unwrap());
}

#[test]
fn every_flame_graph_of_blocking_has_all_of_its_time() {
    for by in [FlameBy::Stack, FlameBy::Goroutine, FlameBy::Site, FlameBy::Object] {
        let lines = folded(&BlockingFlame { by, ..BlockingFlame::default() });
        let weight = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        assert_eq!(Nanos(lines.lines().map(weight).sum()), whole().suffered_total(), "{by:?}");
    }
}

#[test]
fn flame_graphs_of_waits_and_of_assists_have_all_of_their_time() {
    let report = with_parking_and_gc();
    let parked: u64 =
        report.parking.iter().flat_map(ParkingReport::suffered).map(|one| one.sums.total.0).sum();
    let assists: u64 = report.gc.iter().flat_map(|gc| &gc.assists).map(|assist| assist.cpu.0).sum();
    for (of, whole) in [(FlameOf::Parked, parked), (FlameOf::Assists, assists)] {
        for by in [FlameBy::Stack, FlameBy::Goroutine, FlameBy::Site, FlameBy::Object] {
            let flame = BlockingFlame { of, by, focus: None };
            let lines = written(|out| flame.write_folded(&report, out).unwrap());
            let weight = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
            let sum: u64 = lines.lines().map(weight).sum();
            assert!(sum > 0 && sum == whole, "{of:?} {by:?}: {sum} of {whole}");
        }
    }
}

#[test]
fn a_focus_leaves_the_rest_out() {
    let focus = Some(regex::Regex::new("main.lock").unwrap());
    let lines = folded(&BlockingFlame { focus, ..BlockingFlame::default() });
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains("main.lock;"), "{lines}");
}

#[test]
fn hostile_names_cannot_steer_a_terminal_or_be_markup() {
    let report = whole();
    let drawn = written(|out| BlockingFlame::default().write_svg(&report, out).unwrap());
    assert!(drawn.contains("&lt;b&gt;") && !drawn.contains("<b>"));
    for format in [text(&report, false), drawn, folded(&BlockingFlame::default())] {
        assert!(!format.contains('\u{1b}'));
    }
    let lines = written(|out| report.write_ndjson(out).unwrap());
    assert!(!lines.contains('\u{1b}'));
}

#[test]
fn colours_are_only_added() {
    let coloured = text(&whole(), true);
    assert_ne!(coloured, text(&whole(), false));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), text(&whole(), false));
}

#[test]
fn an_idle_program_has_no_findings_and_an_interval_only_what_came() {
    let idle = Tables { calls: tables().calls.into_iter().filter(is_idle).collect(), ..tables() };
    let report_of_idle = report(&idle, None, Vec::new());
    assert_eq!(report_of_idle.findings(), []);
    assert_eq!(report_of_idle.suffered_total(), Nanos(0));
    assert_eq!(report_of_idle.idle().len(), 4);
    let nothing = report(&tables(), Some(&tables()), Vec::new());
    assert_eq!((nothing.entries.len(), nothing.on_cpu.len(), nothing.findings().len()), (0, 0, 0));
    assert!(text(&nothing, false).contains("no system call returned"));
}

fn is_idle(total: &CallTotal) -> bool {
    matches!(total.key.stack, StackTaken::TooShort | StackTaken::Taken(1 | 4))
}

#[test]
fn findings_are_those_of_the_tables() {
    let report = whole();
    let mut ids: Vec<&str> = report.findings().iter().map(|finding| finding.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["blocked_most", "dns_timeout", "fsync_heavy", "stuck", "thread_growth"]);
}
