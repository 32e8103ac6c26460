//! Writes a capture of a made-up program, for `cargo xtask bench capture`: as many slow calls as are asked for, and sums
//! with as many stacks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use gotrace::capture::record::{Answers, Begin, Followed, Verb, Why};
use gotrace::capture::{Record, RecordedSymbols, Recording, Writer};
use gotrace::event::blocking::{BUCKETS, CallTotal, Caller, Key, Kind, StackTaken};
use gotrace::model::{Ending, Look, Subject, Symbols};
use gotrace::stream::{RawRecord, Tables};
use gotrace::target::gobin::{Frame, Linking};
use gotrace::units::{Nanos, RuntimeAddr};
use tracer_ebpf::wire::{self, Header, Probe};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// So many functions are on the stacks, and so deep these are.
const FUNCTIONS: u64 = 20_000;
const DEPTH: u64 = 24;

/// So many records are drained at a time.
const DRAINED: u64 = 4096;

/// When it begins, on the boot clock.
const BEGAN: u64 = 1_000_000_000_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let path = PathBuf::from(arguments.next().context("FILE EVENTS STACKS are needed")?);
    let mut number = || -> Result<u64> {
        let text = arguments.next().context("FILE EVENTS STACKS are needed")?;
        text.to_string_lossy().parse().context("a number is needed")
    };
    write(&path, number()?, number()?)
}

fn write(path: &PathBuf, events: u64, stacks: u64) -> Result<()> {
    let mut writer = Writer::new(BufWriter::new(File::create(path)?))?;
    let begin = Begin {
        gotrace: env!("CARGO_PKG_VERSION").to_owned(),
        verb: Verb::Attach,
        subject: subject(),
        began: Nanos(BEGAN),
        starts: None,
        followed: Some(Followed { redact: false, gc_began: None }),
        collector: None,
    };
    writer.record(&Record::Begin(Box::new(begin)))?;
    let mut recording = Recording::new(false);
    let mut chance = Chance(1);
    let mut now = BEGAN;
    for drained in 0..events.div_ceil(DRAINED) {
        let count = DRAINED.min(events - drained * DRAINED);
        let records: Vec<RawRecord> = (0..count).map(|_| slow(&mut now, stacks, &mut chance)).collect();
        recording.took(&mut writer, &records, Answers::default())?;
    }
    let tables = Tables {
        calls: (0..stacks).map(|stack| total(stack, events / stacks.max(1) + 1)).collect(),
        stacks: (0..stacks).map(|stack| (as_number(stack), addresses(stack))).collect::<BTreeMap<_, _>>(),
        ..Tables::default()
    };
    let look = Look {
        subject: subject(),
        began: Nanos(BEGAN),
        ended: Nanos(now),
        stack_from: Nanos(20_000),
        slow_from: Nanos(0),
        frequency: 99,
        tables,
        blocked_now: Vec::new(),
        losses: Vec::new(),
        undecodable: 0,
        missing: Vec::new(),
        ending: Ending::Running,
        parking: None,
        gc: None,
    };
    let symbols = RecordedSymbols::new(&MadeUp);
    for index in 0..FUNCTIONS {
        symbols.frames(RuntimeAddr(function(index)));
    }
    recording.look(&mut writer, Why::Last, &look, symbols)?;
    writer.record(&Record::End(Default::default()))?;
    Ok(writer.flush()?)
}

/// The same each time (xorshift64, Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// A call on one of 2000 files or 30000 connections.
fn slow(now: &mut u64, stacks: u64, chance: &mut Chance) -> RawRecord {
    *now += chance.below(40_000);
    let mut slow = wire::blocking::Slow::new_zeroed();
    slow.header = Header { time: *now, probe: Probe::Slow as u32, tid: 1000 + chance.below(8) as u32 };
    slow.duration = 1_000 + chance.below(3_000_000);
    let is_file = chance.below(4) == 0;
    let mode = if is_file { libc::S_IFREG } else { libc::S_IFSOCK };
    slow.key = wire::blocking::Key {
        stack: chance.below(stacks.min(2_000)).cast_signed(),
        gopc: 0x40_0000,
        syscall: 0,
        kind: u32::from(!is_file),
        caller: Caller::Goroutine as u32,
        object: mode,
    };
    (slow.goid, slow.result) = (18 + chance.below(500), chance.below(4096));
    (slow.object.mode, slow.object.device) = (mode | 0o644, 254 << 20);
    if is_file {
        slow.object.inode = 100_000 + chance.below(2_000);
        slow.object.name[..4].copy_from_slice(b"data");
    } else {
        let connection = chance.below(30_000);
        slow.object.inode = 900_000 + connection;
        (slow.object.family, slow.object.socket_type) = (2, 1);
        (slow.object.local_port, slow.object.peer_port) = (8080, (20_000 + connection as u16).to_be());
        slow.object.local[..4].copy_from_slice(&[10, 0, 0, 1]);
        slow.object.peer[..4].copy_from_slice(&[10, 0, 0, 2]);
    }
    let descriptor = 3 + slow.object.inode % 1_000;
    slow.arguments = [descriptor, 0xc000_0000 + chance.below(1 << 20) * 64, 4096];
    RawRecord(Bytes::copy_from_slice(slow.as_bytes()))
}

fn total(stack: u64, count: u64) -> CallTotal {
    let mut histogram = vec![0; BUCKETS];
    histogram[40] = as_number(count);
    CallTotal {
        key: Key {
            kind: Kind::Call,
            caller: Caller::Goroutine,
            syscall: 0,
            file_type: Some(libc::S_IFREG),
            gopc: Some(RuntimeAddr(0x40_0000)),
            stack: StackTaken::Taken(as_number(stack)),
        },
        count,
        errors: 0,
        joined: 0,
        total: Nanos(count * (300_000 + stack)),
        longest: Nanos(3_000_000),
        histogram,
    }
}

fn as_number(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Return addresses, but for the innermost: each stack leads to its own.
fn addresses(stack: u64) -> Vec<RuntimeAddr> {
    let mut chance = Chance(stack + 1);
    (0..DEPTH).map(|depth| RuntimeAddr(function(chance.below(FUNCTIONS)) + u64::from(depth > 0))).collect()
}

fn function(index: u64) -> u64 {
    0x40_0000 + index * 64
}

struct MadeUp;

impl Symbols for MadeUp {
    fn frames(&self, address: RuntimeAddr) -> Vec<Frame> {
        let index = (address.0 - 0x40_0000) / 64;
        vec![Frame {
            function: format!(
                "example.com/made/up/package{}.(*Type{}).Method{index}",
                index % 300,
                index % 7
            )
            .into(),
            file: Some(format!("/src/made/up/package{}/file{}.go", index % 300, index % 11).into()),
            line: as_number(10 + index % 900),
            inlined: false,
            begins: 0,
            address: None,
        }]
    }

    fn wait_reason(&self, _: u8) -> Option<&'static str> {
        None
    }
}

fn subject() -> Subject {
    Subject {
        pid: 42,
        parent: None,
        watched: false,
        exe: PathBuf::from("/srv/made-up"),
        go_version: "go1.26.6".to_owned(),
        module: Some("example.com/made/up".to_owned()),
        code: None,
        linking: Linking {
            pie: false,
            interpreter: None,
            libraries: Vec::new(),
            cgo: false,
            stripped: true,
            dwarf: false,
        },
        kernel: "6.12.1".to_owned(),
        wall_clock_unix_ns: 1_700_000_000_000_000_000,
        repetition: None,
    }
}
