//! What `--waits` adds to a report, from sums made by hand.

use std::collections::BTreeMap;

use crate::event::blocking::{BUCKETS, StackTaken};
use crate::event::parking::{ParkKey, ParkTotal, Waker, Woken};
use crate::model::Symbols;
use crate::model::parking::{Detached, Overhead, ParkingInput, ParkingReport, Wakeups};
use crate::stream::{ParkingTables, Tables};
use crate::target::gobin::Frame;
use crate::units::{Nanos, RuntimeAddr};
use tracer_ebpf::wire::blocking::bucket;

const CODE: [&str; 7] = [
    "runtime.gopark",
    "runtime.chanrecv1",
    "main.take",
    "main.give",
    "runtime.newproc",
    "time.Sleep",
    "runtime.mcall",
];

struct Crafted;

impl Symbols for Crafted {
    fn frames(&self, address: RuntimeAddr) -> Vec<Frame> {
        let function = usize::try_from(address.0 / 100).ok().and_then(|index| CODE.get(index));
        let line = u32::try_from(address.0 % 100).unwrap();
        let frame = |function: &&str| Frame {
            function: (*function).into(),
            file: Some("/src/main.go".into()),
            line,
            inlined: false,
            begins: 0,
            address: None,
        };
        function.map(frame).into_iter().collect()
    }

    fn wait_reason(&self, number: u8) -> Option<&'static str> {
        match number {
            14 => Some("sleep"),
            19 => Some("chan receive"),
            _ => None,
        }
    }
}

fn total(key: ParkKey, times: &[u64]) -> ParkTotal {
    let mut histogram = vec![0; BUCKETS];
    for time in times {
        histogram[bucket(*time)] += 1;
    }
    ParkTotal {
        key,
        count: times.len() as u64,
        joined: 0,
        total: Nanos(times.iter().sum()),
        runnable: Nanos(1_000 * times.len() as u64),
        longest: Nanos(times.iter().copied().max().unwrap_or(0)),
        histogram,
    }
}

pub(in crate::export) fn report(overhead: Overhead) -> ParkingReport {
    // Return addresses are behind their calls.
    let key = ParkKey {
        reason: 19,
        stack: StackTaken::Taken(0),
        gopc: Some(RuntimeAddr(344)),
        waker: Waker::Goroutine,
        waker_gopc: Some(RuntimeAddr(402)),
    };
    let asleep =
        ParkKey { reason: 14, stack: StackTaken::Taken(1), waker: Waker::Runtime, waker_gopc: None, ..key };
    let cut =
        ParkKey { reason: 99, stack: StackTaken::Taken(2), waker: Waker::Unseen, waker_gopc: None, ..key };
    let parking = ParkingTables {
        totals: vec![
            total(asleep, &[3_000_000]),
            total(key, &[20_000_000, 40_000_000]),
            ParkTotal { joined: 4, ..total(cut, &[]) },
        ],
        parked: Vec::new(),
        undecodable: 0,
    };
    let addresses = |addresses: &[u64]| addresses.iter().copied().map(RuntimeAddr).collect();
    let stacks = BTreeMap::from([
        (0, addresses(&[7, 150, 244])),
        (1, addresses(&[7, 512, 345])),
        (2, addresses(&[7, 612])),
    ]);
    let tables = Tables { stacks, ..Tables::default() };
    let mut wakeups = Wakeups::default();
    let woken =
        Woken { goid: 18, since: Nanos(2_000_000_000), ready: Nanos(2_039_999_000), waker_goid: 1, key };
    wakeups.note(Nanos(2_040_000_000), &woken);
    ParkingReport::of(ParkingInput {
        tables: &parking,
        wakeups: &wakeups,
        before: None,
        stacks: &tables,
        module: None,
        overhead,
        missing: Vec::new(),
        symbols: &Crafted,
    })
}

pub(in crate::export) fn overhead() -> Overhead {
    Overhead {
        armed: Nanos(1_000_000_000),
        span: Nanos(2_000_000_000),
        hits: 10_000,
        dropped: 3,
        handlers: Nanos(6_000_000),
        trap: Nanos(600),
        budget: 20_000,
        one_in: 1,
        sampled: None,
        detached: None,
    }
}

fn text(report: &ParkingReport) -> String {
    let mut text = Vec::new();
    report.write_text(false, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn people_read_where_for_what_and_until_whom() {
    assert_eq!(
        text(&report(overhead())),
        "\
why goroutines waited (--waits)
    60.00 ms         2×  chan receive  main.take main.go:43
              p50 20.97 ms, p99 40.00 ms, longest 40.00 ms; ready without a P 2.0 µs; woken by the main goroutine
     3.00 ms         1×  sleep  main.give main.go:44
              p50 3.00 ms, p99 3.00 ms, longest 3.00 ms; ready without a P 1.0 µs; woken by its timer
        0 ns         0× + 4 from before  wait reason 99  in a goroutine made at main.give main.go:43
  cost: 10000 hits × 1.2 µs = 12.00 ms, 0.60 % of one processor in 2.000 s (at most 2.00 %); trap 600 ns measured here, the rest in the handlers
  3 hits could not be summed up, 0 sums were undecodable

"
    );
}

#[test]
fn what_the_governor_did_is_told() {
    let detached = Some(Detached { at: Nanos(1_400_000_000), hits: 50_000, span: Nanos(100_000_000) });
    let text =
        text(&report(Overhead { one_in: 4, sampled: Some(Nanos(1_200_000_000)), detached, ..overhead() }));
    for part in [
        "1 in 4 goroutines was followed at the end, all of them for the first 200.00 ms: counts are of those, and not scaled",
        "taken away after 400.00 ms: 50000 hits in 100.00 ms, whose traps alone take 30.00 ms; --max-overhead allows more",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn programs_read_the_same() {
    let mut lines = Vec::new();
    report(Overhead { one_in: 2, sampled: Some(Nanos(7)), ..overhead() }).write_ndjson(&mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = &lines[0];
    assert_eq!((&first["type"], &first["kind"]), (&"blocking".into(), &"wait".into()));
    assert_eq!((&first["wait_reason"], &first["waker"]), (&"chan receive".into(), &"main".into()));
    assert_eq!((&first["count"], &first["total_ns"]), (&2.into(), &60_000_000.into()));
    assert_eq!((&first["max_ns"], &first["runnable_ns"]), (&40_000_000.into(), &2_000.into()));
    assert_eq!(first["site"]["function"], "main.take");
    assert_eq!(first["stack"].as_array().unwrap().len(), 3);
    assert_eq!(lines[1]["waker"], "timer");
    assert_eq!((&lines[2]["joined"], &lines[2]["site_is"]), (&4.into(), &"made_at".into()));
    let overhead = lines.last().unwrap();
    assert_eq!((&overhead["type"], &overhead["hits"]), (&"overhead".into(), &10_000.into()));
    assert_eq!((&overhead["cost_ns_per_hit"], &overhead["sampled"]), (&1_200.into(), &2.into()));
    assert_eq!((&overhead["share"], &overhead["detached_ns"]), (&0.006.into(), &serde_json::Value::Null));
}
