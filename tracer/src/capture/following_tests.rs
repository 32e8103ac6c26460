//! Whether a capture of a running program tells what the session told.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use proptest::prelude::*;
use tracer_ebpf::wire::{self, Header, Probe};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::record::{Begin, Followed, Verb, Why};
use super::{Reader, Record, RecordedAnswers, RecordedSymbols, Recording, Replayed, Writer, crafted_sums};
use crate::event::blocking::{BUCKETS, CallTotal, Key, Kind, StackTaken};
use crate::event::{self, EventKind};
use crate::export::{Format, Told, View};
use crate::model::blocking::{BlockedNow, BlockingReport, ObjectNames, Since};
use crate::model::gc::crafted::{AHEAD, Crafted, Runtime, SPIN, Spec, stack};
use crate::model::gc::{GcHistory, Surroundings};
use crate::model::{Around, Beginning, Ending, Following, GcLook, Look, Subject};
use crate::stream::{ProbeLoss, RawRecord, Tables};
use crate::target::gobin::Linking;
use crate::units::{Nanos, RuntimeAddr};

/// What a session sees or does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Slow { inode: u64, fd: u64, duration: u64, stack: u32 },
    Woken { goid: u64, duration: u64 },
    Cycle,
    Held,
    Pass(u64),
    Drain,
    Look(Why),
}

pub(super) fn acts() -> impl Strategy<Value = Vec<Act>> {
    let slow = (0..4_u64, 0..3_u64, 1_000_000..90_000_000_u64, 0..3_u32)
        .prop_map(|(inode, fd, duration, stack)| Act::Slow { inode, fd, duration, stack });
    let act = prop_oneof![
        8 => slow,
        2 => (1..9_u64, 0..90_000_000_u64).prop_map(|(goid, duration)| Act::Woken { goid, duration }),
        2 => Just(Act::Cycle),
        1 => Just(Act::Held),
        2 => (1..400_000_000_u64).prop_map(Act::Pass),
        3 => Just(Act::Drain),
        1 => Just(Act::Look(Why::Interim)),
        1 => Just(Act::Look(Why::Checkpoint)),
    ];
    prop::collection::vec(act, 0..60)
}

/// A process whose answers are never the same.
#[derive(Default)]
struct Restless(Cell<u64>);

impl Restless {
    fn next(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

impl ObjectNames for Restless {
    fn name(&self, _: &event::blocking::Object, _: Option<u64>) -> Option<String> {
        let next = self.next();
        (!next.is_multiple_of(3)).then(|| format!("file /{next}"))
    }
}

impl Around for Restless {
    fn surroundings(&self) -> Surroundings {
        Surroundings { rss: Some(self.next() << 20), throttled: Some(Nanos(self.next())) }
    }

    fn is_without_frame(&self, address: RuntimeAddr) -> bool {
        address == stack(&[SPIN])[0]
    }
}

fn subject() -> Subject {
    Subject {
        pid: 42,
        parent: None,
        watched: false,
        exe: PathBuf::from("/srv/app"),
        go_version: "go1.27.3".to_owned(),
        module: Some("example.com/app".to_owned()),
        linking: Linking {
            pie: true,
            interpreter: None,
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

fn slow_record(now: u64, inode: u64, fd: u64, duration: u64, stack: u32) -> wire::blocking::Slow {
    let mut slow = wire::blocking::Slow::new_zeroed();
    slow.header = Header { time: now, probe: Probe::Slow as u32, tid: 43 };
    slow.duration = duration;
    slow.key = wire::blocking::Key {
        stack: stack.into(),
        gopc: 1421,
        syscall: 0,
        kind: Kind::Call as u32,
        caller: 2,
        object: libc::S_IFREG,
    };
    (slow.goid, slow.arguments) = (7 + fd, [fd, 0, 0]);
    slow.object.mode = libc::S_IFREG | 0o644;
    (slow.object.inode, slow.object.device, slow.object.name[0]) = (inode, 5, b'x');
    if inode == 3 {
        slow.object.mode = libc::S_IFSOCK;
        (slow.object.family, slow.object.socket_type, slow.object.local) = (2, 1, [9; 16]);
        (slow.object.local_port, slow.object.peer_port) = (80, 40_000_u16.to_be());
    }
    slow
}

/// A session over a made-up kernel side, and the capture that it writes.
pub(super) struct Session {
    now: u64,
    ring: Vec<RawRecord>,
    runtime: Runtime,
    sums: BTreeMap<u32, CallTotal>,
    around: Restless,
    following: Following,
    recording: Recording,
    writer: Writer<Vec<u8>>,
    before: Option<Look>,
    first: Option<Beginning>,
    told: Vec<String>,
    /// The report on all of the time, when there were others.
    pub(super) whole: Option<String>,
}

impl Session {
    fn begin(redact: bool) -> Self {
        let runtime = Runtime::new();
        let began = Nanos(AHEAD);
        let mut writer = Writer::new(Vec::new()).unwrap();
        let begin = Begin {
            gotrace: "test".to_owned(),
            verb: Verb::Attach,
            subject: subject(),
            began,
            starts: None,
            followed: Some(Followed { redact, gc_began: Some(began) }),
            collector: None,
        };
        writer.record(&Record::Begin(Box::new(begin))).unwrap();
        Self {
            now: AHEAD + 1_000_000,
            ring: Vec::new(),
            following: Following::new(redact, Some(GcHistory::new(runtime.layout, began))),
            runtime,
            sums: BTreeMap::new(),
            around: Restless::default(),
            recording: Recording::new(redact),
            writer,
            before: None,
            first: None,
            told: Vec::new(),
            whole: None,
        }
    }

    fn act(&mut self, act: &Act) {
        self.now += 1_000;
        match act {
            Act::Slow { inode, fd, duration, stack } => {
                self.now += duration;
                let slow = slow_record(self.now, *inode, *fd, *duration, *stack);
                let total = self.sums.entry(*stack).or_insert_with(|| CallTotal {
                    key: Key::try_from(&slow.key).unwrap(),
                    count: 0,
                    errors: 0,
                    joined: 0,
                    total: Nanos(0),
                    longest: Nanos(0),
                    histogram: vec![0; BUCKETS],
                });
                total.count += 1;
                total.total.0 += duration;
                total.longest = total.longest.max(Nanos(*duration));
                total.histogram[wire::blocking::bucket(*duration)] += 1;
                self.push(slow.as_bytes());
            }
            Act::Woken { goid, duration } => {
                self.now += duration;
                self.push(crafted_sums::woken(self.now, *goid, *duration).as_bytes());
            }
            Act::Cycle => {
                let spec = Spec::at(self.now - AHEAD);
                self.now = spec.end() + AHEAD + 10_000;
                let cycle = self.runtime.cycle(&spec);
                let mut record = wire::gc::Cycle::new_zeroed();
                record.header = Header { time: self.now, probe: Probe::GcCycle as u32, tid: 43 };
                (record.monotonic, record.pause_total) = (cycle.monotonic.0, cycle.pause_total.0);
                record.goid = 5;
                record.work.copy_from_slice(&cycle.work);
                record.controller.copy_from_slice(&cycle.controller);
                record.stats.copy_from_slice(&cycle.stats);
                self.push(record.as_bytes());
            }
            Act::Held => {
                let start = self.now - AHEAD;
                self.now += 30_000_000;
                let mut stop = wire::gc::Stop::new_zeroed();
                stop.header = Header { time: self.now, probe: Probe::WorldStarted as u32, tid: 43 };
                (stop.monotonic, stop.started, stop.finished) = (self.now - AHEAD, start, start + 20_000_000);
                (stop.reason, stop.looks, stop.depth, stop.goid) = (5, 200, 1, 5);
                (stop.holder.goid, stop.holder.depth, stop.holder.looks) = (9, 1, 200);
                (stop.holder.on_cpu, stop.holder.top) = (200, stack(&[4])[0].0);
                stop.stacks[wire::gc::ASKER][0] = stack(&[0])[0].0;
                stop.stacks[wire::gc::HOLDER][0] = stack(&[SPIN])[0].0;
                self.push(stop.as_bytes());
            }
            Act::Pass(time) => self.now += time,
            Act::Drain => self.drain(),
            Act::Look(why) => self.look(*why),
        }
    }

    fn push(&mut self, record: &[u8]) {
        self.ring.push(RawRecord(Bytes::copy_from_slice(record)));
    }

    fn drain(&mut self) {
        let records = std::mem::take(&mut self.ring);
        let asked = RecordedAnswers::new(&self.around);
        for RawRecord(bytes) in &records {
            self.following.note(&event::decode(bytes).unwrap(), &asked);
        }
        self.recording.took(&mut self.writer, &records, asked.answers()).unwrap();
    }

    fn look(&mut self, why: Why) {
        self.drain();
        let blocked = BlockedNow {
            goid: self.now,
            state: "waiting".into(),
            syscall: None,
            wait_reason: Some("select".into()),
            tid: None,
            fd: None,
            object: None,
            since: Some(Since::AtLatest(Nanos(self.now - 5))),
            stack: Vec::new(),
            origin: None,
        };
        let look = Look {
            subject: subject(),
            began: self.before.as_ref().map_or(Nanos(AHEAD), |before| before.ended),
            ended: Nanos(self.now),
            stack_from: Nanos(20_000),
            slow_from: Nanos(1_000_000),
            frequency: 99,
            tables: Tables {
                calls: self.sums.values().cloned().collect(),
                stacks: (0..3).map(|stack| (stack, stack_of(stack))).collect(),
                throttled: Some(Nanos(self.now / 7)),
                ..crafted_sums::tables((self.now - AHEAD) / 1_000_000)
            },
            blocked_now: vec![blocked; 3],
            losses: vec![ProbeLoss { probe: Probe::Slow, hits: self.now, dropped: 1 }],
            undecodable: 3,
            missing: Vec::new(),
            ending: if why == Why::Last { Ending::Gone } else { Ending::Running },
            parking: Some(crafted_sums::look(Nanos(self.now - AHEAD))),
            gc: Some(GcLook {
                slow_from: Nanos(1_000_000),
                runtime_init: Nanos(1),
                gc_percent: Some(100),
                throttled_before: Some(Nanos(0)),
                missing: Vec::new(),
            }),
        };
        let symbols = RecordedSymbols::new(&Crafted);
        let report = look.report(self.before.as_ref(), &self.following, &symbols);
        if let Some(first) = self.first.filter(|_| why == Why::Last) {
            let whole = look.clone().whole_report(&first, None, &self.following, &symbols);
            self.whole = Some(formats(&whole));
        }
        self.recording.look(&mut self.writer, why, &look, symbols).unwrap();
        if why != Why::Checkpoint {
            self.told.push(formats(&report));
            self.following.begin_anew();
            self.first.get_or_insert_with(|| Beginning::of(&look));
            self.before = Some(look);
        }
    }

    /// One that did all that, and ended.
    pub(super) fn of(acts: &[Act], redact: bool) -> Self {
        let mut session = Self::begin(redact);
        acts.iter().for_each(|act| session.act(act));
        session.look(Why::Last);
        session
    }

    /// The capture.
    pub(super) fn capture(mut self) -> Vec<u8> {
        self.writer.flush().unwrap();
        std::mem::take(self.writer.out())
    }
}

/// A capture with some of everything.
pub(super) fn some_session() -> Vec<u8> {
    let slow = |stack| Act::Slow { inode: 2, fd: 1, duration: 2_000_000, stack };
    let woken = Act::Woken { goid: 7, duration: 3_000_000 };
    let looked = Act::Look(Why::Interim);
    let acts = [slow(0), Act::Cycle, Act::Held, slow(1), woken, looked, Act::Cycle, slow(2)];
    Session::of(&acts, false).capture()
}

fn stack_of(number: u32) -> Vec<RuntimeAddr> {
    [&[2, 4][..], &[7, 3, 4], &[3]].get(number as usize).map(|functions| stack(functions)).unwrap()
}

pub(super) fn formats(report: &BlockingReport) -> String {
    let mut out = Vec::new();
    for format in Format::ALL {
        format.write(Told::Running(report), &View::default(), false, &mut out).unwrap();
    }
    // Not every format is text.
    String::from_utf8_lossy(&out).into_owned()
}

/// The reports that the capture tells, of which the last one is there, and the one on all of the time.
pub(super) fn replay(bytes: &[u8]) -> (Vec<BlockingReport>, Option<BlockingReport>) {
    let mut reader = Reader::new(bytes).unwrap();
    let Some(Record::Begin(begin)) = reader.next_record().unwrap() else { panic!() };
    let mut replayed = Replayed::new(reader, &begin);
    let (mut told, mut whole, mut is_over) = (Vec::new(), None, false);
    while let Some(reported) = replayed.next_report().unwrap() {
        assert!(!is_over);
        (is_over, whole) = (reported.is_last, reported.whole);
        told.push(reported.report);
    }
    assert!(is_over);
    (told, whole)
}

/// What they say.
fn replayed(bytes: &[u8]) -> Vec<String> {
    replay(bytes).0.iter().map(formats).collect()
}

/// Fails with the first line that differs.
pub(super) fn ensure_same(found: &[String], told: &[String]) -> Result<(), TestCaseError> {
    for (found, told) in found.iter().zip(told) {
        for (found, told) in found.lines().zip(told.lines()) {
            prop_assert_eq!(found, told);
        }
        prop_assert!(found == told);
    }
    prop_assert_eq!(found.len(), told.len());
    Ok(())
}

proptest! {
    #[test]
    fn a_capture_tells_what_the_session_told(acts in acts(), redact: bool) {
        let mut session = Session::of(&acts, redact);
        let told = std::mem::take(&mut session.told);
        ensure_same(&replayed(&session.capture()), &told)?;
    }

    #[test]
    fn what_is_left_of_a_session_that_was_killed_is_told(acts in acts()) {
        let mut session = Session::begin(false);
        session.look(Why::Checkpoint);
        acts.iter().for_each(|act| session.act(act));
        session.drain();
        let before = std::mem::take(&mut session.told);
        let mut told = replayed(&session.capture());
        let last = told.pop().unwrap();
        prop_assert!(last.contains("gotrace was killed"));
        ensure_same(&told, &before)?;
    }
}

#[test]
fn nothing_of_what_is_redacted_is_in_the_capture() {
    let acts = [Act::Slow { inode: 2, fd: 1, duration: 2_000_000, stack: 0 }, Act::Drain];
    let seen = |redact| {
        let capture = Session::of(&acts, redact).capture();
        let mut reader = Reader::new(&capture[..]).unwrap();
        let mut names = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            if let Record::Ring(bytes) = record
                && let EventKind::Slow(slow) = event::decode(bytes).unwrap().kind
            {
                names.push(slow.object.map(|object| (object.name.text(), object.inode)));
            }
        }
        names
    };
    assert_eq!(seen(false), [Some(("x".to_owned(), 2))]);
    assert_eq!(seen(true), [Some((String::new(), 0))]);
}

#[test]
fn stacks_are_told_once() {
    let stacks = |looks: usize| {
        let capture = Session::of(&vec![Act::Look(Why::Interim); looks], false).capture();
        let mut reader = Reader::new(&capture[..]).unwrap();
        let mut count = 0;
        while let Some(record) = reader.next_record().unwrap() {
            if let Record::Stacks(stacks) = record {
                count += stacks.len();
            }
        }
        count
    };
    assert_eq!((stacks(0), stacks(9)), (3, 3));
    assert_eq!(StackTaken::Taken(2), Key::try_from(&slow_record(1, 1, 1, 1, 2).key).unwrap().stack);
}
