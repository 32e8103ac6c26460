//! Reports made by hand, through the library's own types, and the files that they become.

use std::path::{Path, PathBuf};

use gotrace::event::blocking::{BUCKETS, CallTotal, Caller, Key, Kind, Name, Object, Slow, StackTaken};
use gotrace::event::profile::Samples;
use gotrace::event::{Account, WaitKind};
use gotrace::export::{Format, Told, View};
use gotrace::model::blocking::{BlockedNow, BlockingInput, BlockingReport, ObjectNames, Since, SlowCalls};
use gotrace::model::gc::{GcCycle, GcReport, NO_LIMIT, Surroundings, ToldCycle, Totals, Trigger};
use gotrace::model::parking::{Overhead, ParkingReport, Wakeup};
use gotrace::model::{
    Cause, Ending, Init, InitFunction, InitName, MissingProbe, Parts, Phase, PhaseName, Report,
    StartupTimeline, Subject, Symbols, TimedFunction, Wait,
};
use gotrace::stream::{ProbeLoss, Tables};
use gotrace::target::gobin::{Frame, Linking};
use gotrace::units::{Nanos, RuntimeAddr};
use tracer_ebpf::wire::Probe;
use tracer_ebpf::wire::blocking::bucket;

/// Names that a page must not take for markup, nor a script for its own.
pub(crate) const HOSTILE: [&str; 4] = [
    "<img src=x onerror=\"document.title='owned'\">",
    "</script><script>document.title='owned'</script>",
    "x\u{2028}<!--<script>\u{1b}[2J",
    "__proto__",
];

const MS: u64 = 1_000_000;

/// Writes a history as a file of that name.
pub(crate) fn file(told: Told<'_>, folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let format = Format::of_path(&path).expect("a format");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    format.write(told, &View::default(), false, &mut out).unwrap();
    path
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
        code: None,
        kernel: "6.12.1".to_owned(),
        wall_clock_unix_ns: 1_700_000_000_000_000_000,
        repetition: None,
    }
}

fn frame(function: &str, line: u32) -> Frame {
    Frame {
        function: function.into(),
        file: Some("/src/app/main.go".into()),
        line,
        inlined: false,
        begins: 0,
        address: None,
    }
}

/// A start with so many inits, of 1 ms and more each, the last one the slowest; hostile names lead.
pub(crate) fn start(inits: usize) -> Report {
    let begin = Nanos(1000);
    let mut at = begin.0 + 4 * MS;
    let mut all = Vec::new();
    for index in 0..inits {
        let name = HOSTILE
            .get(index)
            .map_or_else(|| format!("example.com/app/part{index}"), |name| (*name).to_owned());
        let wall = if index + 1 == inits { 200 * MS } else { MS + index as u64 };
        let mut after = Account { on_cpu: wall / 4, runnable: wall / 8, ..Account::default() };
        after.blocked[WaitKind::Sleep as usize] = wall / 2;
        let function = InitFunction {
            name: format!("{name}.init.0"),
            file: Some("/src/app/init.go".into()),
            line: 7,
            site: None,
        };
        all.push(Init {
            name: InitName::Package(name),
            start: Nanos(at),
            wall: Nanos(wall),
            done: true,
            parts: Some(Parts::between(&Account::default(), &after, Nanos(wall))),
            module: Some("example.com/app".to_owned()),
            imported_by: None,
            functions: vec![TimedFunction { function, start: Some(Nanos(at)), wall: Some(Nanos(wall)) }],
            started: None,
            heap: None,
        });
        at += wall;
    }
    let last = all.last().unwrap().clone();
    let phase = |name, start, end: u64| Phase {
        name,
        start: Nanos(start),
        duration: Nanos(end - start),
        done: name != PhaseName::Main,
        steps: Vec::new(),
        parts: None,
    };
    let wait = Wait {
        init: Some(inits - 1),
        start: Nanos(last.start.0 + MS),
        duration: Nanos(100 * MS),
        cause: Cause::Sleep,
        syscall: Some("futex".to_owned()),
        reason: Some("sleep"),
        object: Some(HOSTILE[0].to_owned()),
        goid: Some(1),
        stack: vec![frame("time.Sleep", 1), frame(HOSTILE[1], 2)],
    };
    Report {
        subject: subject(),
        timeline: StartupTimeline {
            begin,
            phases: vec![
                phase(PhaseName::Exec, begin.0, begin.0 + MS),
                phase(PhaseName::DynamicLink, begin.0 + MS, begin.0 + 2 * MS),
                phase(PhaseName::RuntimeBootstrap, begin.0 + 2 * MS, begin.0 + 4 * MS),
                phase(PhaseName::PackageInit, begin.0 + 4 * MS, at),
                phase(PhaseName::Main, at, at + 900 * MS),
            ],
            inits: all,
            to_main: Some(Nanos(at - begin.0)),
            ended: None,
            replaced_by: None,
            unmarked: vec![Probe::GcEnable],
            waits: vec![wait],
            calls: Vec::new(),
            throttled: None,
            libraries: Vec::new(),
            ready: Some(Nanos(at + 3 * MS)),
            at_main: None,
        },
        ending: Ending::Running,
        awaited: Some(format!("log:{}", HOSTILE[0])),
        overhead: Some(Nanos(MS / 10)),
        missing: vec![missing()],
        losses: vec![ProbeLoss { probe: Probe::Init, hits: 9, dropped: 2 }],
        undecodable: 0,
        gc: Some(collector(begin)),
    }
}

fn missing() -> MissingProbe {
    MissingProbe {
        probe: "schedinit_done".into(),
        function: HOSTILE[1].to_owned(),
        reason: "its code has no single call of the function".to_owned(),
        is_detail: false,
    }
}

/// Two cycles, 20 ms and 60 ms after the begin.
fn collector(began: Nanos) -> GcReport {
    let cycle = |number: u32, start: u64| ToldCycle {
        cycle: GcCycle {
            number,
            forced: false,
            partial: false,
            missed_before: 0,
            noted: Nanos(start + 6 * MS),
            start: Nanos(start),
            runtime_start: Nanos(start),
            sweep_term: Nanos(50_000),
            mark: Nanos(5 * MS),
            mark_term: Nanos(70_000),
            assist: Nanos(MS),
            dedicated: Nanos(2 * MS),
            fractional: Nanos(0),
            idle: Nanos(0),
            stop_procs: 2,
            procs: 2,
            heap_start: 8_000_000 * u64::from(number),
            heap_end: 9_000_000,
            heap_marked: 4_000_000,
            heap_live: 4_100_000,
            heap_goal: 9_500_000,
            stack_scan: 1000,
            globals_scan: 1000,
            cpu_fraction: 0.01,
            pause: Nanos(120_000),
            gc_percent: 100,
            memory_limit: NO_LIMIT,
            at_limit: false,
            allocated: 20_000_000,
            surroundings: Surroundings { rss: Some(30_000_000), throttled: None },
        },
        trigger: Some(Trigger::Heap),
        leaks: false,
        charged: None,
    };
    GcReport {
        began,
        ended: Nanos(began.0 + 10_000 * MS),
        slow_from: Nanos(MS),
        runtime_init: None,
        gc_percent: Some(100),
        refused: None,
        cycles: vec![cycle(1, began.0 + 20 * MS), cycle(2, began.0 + 60 * MS)],
        stops: Vec::new(),
        totals: Totals { cycles: 2, ..Totals::default() },
        heap: None,
        incidents: Vec::new(),
        assists: Vec::new(),
        throttled: None,
        findings: Vec::new(),
        missing: Vec::new(),
    }
}

/// What addresses mean: a function for each; the first few are hostile.
struct Code;

impl Symbols for Code {
    fn frames(&self, address: RuntimeAddr) -> Vec<Frame> {
        let index = usize::try_from(address.0 / 10).unwrap();
        let name = match index {
            0 => "internal/runtime/syscall.Syscall6".to_owned(),
            1..=4 => format!("main.{}", HOSTILE[index - 1]),
            5 => "net/http.(*conn).serve".to_owned(),
            _ => format!("example.com/app/pkg{}.work{index}", index % 97),
        };
        vec![frame(&name, 7)]
    }

    fn wait_reason(&self, _: u8) -> Option<&'static str> {
        None
    }
}

impl ObjectNames for Code {
    fn name(&self, _: &Object, _: Option<u64>) -> Option<String> {
        Some(format!("file /var/{}", HOSTILE[0]))
    }
}

/// A program with so many stacks, each blocked for 2 ms and more in fsync, 12 frames deep.
pub(crate) fn running(stacks: u32) -> BlockingReport {
    let key = |stack| Key {
        kind: Kind::Call,
        caller: Caller::Goroutine,
        syscall: libc::SYS_fsync.unsigned_abs(),
        file_type: Some(libc::S_IFREG),
        gopc: None,
        stack: StackTaken::Taken(stack),
    };
    let total = |stack| {
        let duration = 2 * MS + u64::from(stack);
        let mut histogram = vec![0; BUCKETS];
        histogram[bucket(duration)] = 1;
        let (total, longest) = (Nanos(duration), Nanos(duration));
        CallTotal { key: key(stack), count: 1, errors: 0, joined: 0, total, longest, histogram }
    };
    let addresses = |stack: u32| -> Vec<RuntimeAddr> {
        let mut rest = u64::from(stack);
        let mut frames = vec![RuntimeAddr(0)];
        for depth in 0..10 {
            frames.push(RuntimeAddr((6 + depth * 7 + rest % 7) * 10 + 1));
            rest /= 7;
        }
        frames.push(RuntimeAddr((1 + u64::from(stack) % 4) * 10 + 1));
        frames
    };
    let tables = Tables {
        calls: (0..stacks).map(total).collect(),
        stacks: (0..stacks).map(|stack| (stack, addresses(stack))).collect(),
        samples: vec![Samples {
            stack: StackTaken::Taken(0),
            caller: Caller::Goroutine,
            gopc: None,
            syscall: None,
            count: 17,
        }],
        ..Tables::default()
    };
    let mut slow = SlowCalls::new(false);
    let object = Object { device: (8, 1), inode: 7, mode: libc::S_IFREG, socket: None, name: Name::NONE };
    for stack in 0..stacks.min(300) {
        let told = Slow {
            duration: Nanos(2 * MS),
            key: key(stack),
            goid: Some(10 + u64::from(stack % 30)),
            result: 0,
            arguments: [3, 0, 0],
            object: Some(object),
        };
        slow.note(Nanos(1_000_000_000 + u64::from(stack) * 3 * MS), 43, &told, &Code);
    }
    let mut report = BlockingReport::of(BlockingInput {
        subject: subject(),
        began: Nanos(1_000_000_000),
        ended: Nanos(11_000_000_000),
        stack_from: Nanos(20_000),
        slow_from: Nanos(MS),
        frequency: 99,
        tables: &tables,
        before: None,
        slow: &slow,
        blocked_now: vec![blocked()],
        losses: vec![ProbeLoss { probe: Probe::Summed, hits: 89, dropped: 1 }],
        undecodable: 0,
        missing: vec![missing()],
        ending: Ending::Running,
        symbols: &Code,
    });
    report.gc = Some(collector(Nanos(1_000_000_000)));
    report
}

fn blocked() -> BlockedNow {
    BlockedNow {
        goid: 21,
        state: "syscall".into(),
        syscall: Some("flock".to_owned()),
        wait_reason: None,
        tid: Some(44),
        fd: Some(5),
        object: Some(HOSTILE[0].to_owned()),
        since: Some(Since::AtLatest(Nanos(2_000_000_000))),
        stack: vec![frame("main.lock", 44).into()],
        origin: None,
    }
}

/// Why goroutines waited: one until another one woke it, a millisecond before the report ends.
pub(crate) fn waits(report: &BlockingReport) -> ParkingReport {
    let at = |before: u64| Nanos(report.ended.0 - before);
    let wakeup = Wakeup {
        goid: 901,
        since: at(5 * MS),
        ready: at(2 * MS),
        ran: at(MS),
        reason: "chan receive".to_owned(),
        stack: [frame(HOSTILE[0], 12).into()].into(),
        origin: Some(frame(HOSTILE[3], 20)),
        idle: None,
        waker_goid: 902,
        waker_origin: None,
    };
    let overhead = Overhead {
        armed: report.began,
        span: report.span(),
        hits: 3,
        dropped: 0,
        handlers: Nanos(1_000),
        trap: Nanos(600),
        budget: 20_000,
        one_in: 1,
        sampled: None,
        detached: None,
    };
    let (wakeups, missing) = (vec![wakeup], Vec::new());
    ParkingReport { parkings: Vec::new(), wakeups, wakeup_count: 1, overhead, missing, undecodable: 0 }
}
