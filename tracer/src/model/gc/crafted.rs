//! For tests: a runtime that keeps its notes as Go's does, so that cycles made by hand pass every check.

use tracer_ebpf::wire::gc::{CONTROLLER_WORDS, STATS_WORDS, WORK_WORDS};

use super::{GcHistory, NO_LIMIT, Surroundings};
use crate::event::gc::{Cycle, Holder, Stop};
use crate::model::{Init, InitName, Phase, PhaseName, StartupTimeline, Symbols};
use crate::target::gobin::{CollectorLayout, Frame, GoVersion, VersionSource, wait_reason};
use crate::units::{Nanos, RuntimeAddr};

/// The boot clock is ahead of the runtime's by so much.
pub(crate) const AHEAD: u64 = 500_000_000;

/// The layout of a Go version.
pub(crate) fn layout(version: &str) -> CollectorLayout {
    let version = GoVersion::parse(version, VersionSource::BuildInfo).unwrap();
    CollectorLayout::of(&version).unwrap()
}

/// A cycle. Times are on the runtime's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub(crate) start: u64,
    pub(crate) sweep_term: u64,
    pub(crate) mark: u64,
    pub(crate) mark_term: u64,
    pub(crate) assist: u64,
    pub(crate) dedicated: u64,
    pub(crate) idle: u64,
    pub(crate) heap: [u64; 3],
    pub(crate) goal: u64,
    pub(crate) allocated: u64,
    pub(crate) percent: i32,
    pub(crate) limit: u64,
    pub(crate) forced: bool,
    pub(crate) around: Surroundings,
}

impl Spec {
    pub(crate) const fn at(start: u64) -> Self {
        Self {
            start,
            sweep_term: 30_000,
            mark: 2_000_000,
            mark_term: 50_000,
            assist: 0,
            dedicated: 900_000,
            idle: 300_000,
            heap: [8_000_000, 8_400_000, 4_100_000],
            goal: 8_600_000,
            allocated: 0,
            percent: 100,
            limit: NO_LIMIT,
            forced: false,
            around: Surroundings { rss: Some(20_000_000), throttled: Some(Nanos(0)) },
        }
    }

    pub(crate) const fn end(&self) -> u64 {
        self.start + self.sweep_term + self.mark + self.mark_term
    }
}

/// The runtime's sums.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    pub(crate) layout: CollectorLayout,
    pub(crate) numgc: u32,
    forced: u32,
    pause_total: u64,
    cpu: [u64; 11],
    allocated: u64,
}

const PROCS: u64 = 2;

impl Runtime {
    pub(crate) fn new() -> Self {
        let layout = layout("go1.27.3");
        Self { layout, numgc: 0, forced: 0, pause_total: 0, cpu: [0; 11], allocated: 10_000_000 }
    }

    /// The record of one more cycle, which is written 10 µs behind its end.
    pub(crate) fn cycle(&mut self, spec: &Spec) -> Cycle {
        self.numgc += 1;
        self.forced += u32::from(spec.forced);
        let pause = spec.sweep_term + spec.mark_term - 2_000;
        self.pause_total += pause;
        self.allocated = spec.allocated.max(self.allocated + 1);
        self.cpu[0] += spec.assist;
        self.cpu[1] += spec.dedicated;
        self.cpu[2] += spec.idle;
        self.cpu[4] += spec.assist + spec.dedicated + spec.idle + PROCS * pause;
        self.cpu[10] = spec.end() * PROCS;
        let at = self.layout.work;
        let mut work = Words::new(at.from(), WORK_WORDS);
        work.set(at.user_forced, u64::from(spec.forced));
        work.set(at.user_forced + 8, spec.heap[0]);
        work.set(at.cycles, u64::from(self.numgc) | (PROCS << 32));
        work.set(at.maxprocs, PROCS);
        let (mark, mark_term) = (spec.start + spec.sweep_term, spec.start + spec.sweep_term + spec.mark);
        work.set_all(at.t_sweep_term, &[spec.start, mark, mark_term, spec.end(), pause]);
        work.set_all(at.heap0, &spec.heap);
        work.set_all(at.cpu_assist, &self.cpu);
        let at = self.layout.controller;
        let mut controller = Words::new(0, CONTROLLER_WORDS);
        let minimum = (4_u64 << 20).wrapping_mul(i64::from(spec.percent).cast_unsigned()) / 100;
        controller.set(at.gc_percent, u64::from(spec.percent.cast_unsigned()));
        controller.set_all(at.memory_limit, &[spec.limit, minimum]);
        let marked = spec.heap[2];
        let (scan, stack, globals) = (300_000, 2_000_000, 1_200_000);
        controller.set_all(at.last_heap_goal - 8, &[u64::MAX, spec.goal, marked + 64, scan, scan, stack]);
        controller.set_all(at.globals_scan, &[globals, marked, scan, stack, globals]);
        let times = [spec.assist, spec.dedicated, 0, spec.idle, spec.start];
        controller.set_all(at.assist_time, &times);
        controller.set_all(at.total_alloc, &[self.allocated, self.allocated / 2, 30_000_000]);
        let mut stats = Words::new(0, STATS_WORDS);
        #[expect(clippy::cast_precision_loss, reason = "as the runtime does")]
        let fraction = (self.cpu[4] - self.cpu[2]) as f64 / self.cpu[10] as f64;
        let counts = u64::from(self.numgc) | (u64::from(self.forced) << 32);
        stats.set_all(0, &[counts, fraction.to_bits(), spec.end()]);
        Cycle {
            monotonic: Nanos(spec.end() + 10_000),
            goid: Some(5),
            pause_total: Nanos(self.pause_total),
            work: work.words,
            controller: controller.words,
            stats: stats.words,
        }
    }

    /// Has the history note the cycle, with its two stops before it.
    pub(crate) fn run(&mut self, history: &mut GcHistory, spec: &Spec) {
        for (reason, start) in [(2, spec.start), (1, spec.start + spec.sweep_term + spec.mark)] {
            let stop =
                Stop { stack: stack(&[STOP, GC_START, MALLOC, WORK]), ..stop(reason, start + 1_000, 5_000) };
            history.note_stop(Nanos(stop.monotonic.0 + AHEAD), &stop);
        }
        let cycle = self.cycle(spec);
        history.note_cycle(Nanos(cycle.monotonic.0 + AHEAD), &cycle, spec.around);
    }
}

/// A stop that was asked for at `start` of the runtime's clock and took so long to come; it is told 1 µs later.
pub(crate) fn stop(reason: u32, start: u64, stopping: u64) -> Stop {
    Stop {
        monotonic: Nanos(start + stopping + 1_000),
        started: Some(Nanos(start)),
        finished: Some(Nanos(start + stopping)),
        total: None,
        reason,
        own_clock: false,
        looks: 0,
        goid: Some(5),
        gopc: Some(RuntimeAddr(1000 + 100 * MAIN + 21)),
        stack: Vec::new(),
        holder: None,
    }
}

/// Who held a stop up, seen at ten looks.
pub(crate) fn holder(functions: &[u64]) -> Holder {
    Holder {
        goid: 9,
        gopc: None,
        tid: 77,
        running: 1,
        looks: 10,
        on_cpu: 0,
        runnable: 0,
        disk: 0,
        sleeping: 0,
        top: RuntimeAddr(0),
        stack: stack(functions),
    }
}

/// Functions of 100 bytes each, the first at 1000.
const CODE: [&str; 9] = [
    "runtime.stopTheWorldWithSema",
    "runtime.gcStart",
    "runtime.mallocgc",
    "main.work",
    "main.main",
    "runtime.forcegchelper",
    "main.spin\u{1b}[2J",
    "runtime.ReadMemStats",
    "runtime.asyncPreempt",
];
pub(crate) const STOP: u64 = 0;
pub(crate) const GC_START: u64 = 1;
pub(crate) const MALLOC: u64 = 2;
pub(crate) const WORK: u64 = 3;
pub(crate) const MAIN: u64 = 4;
pub(crate) const FORCE: u64 = 5;
pub(crate) const SPIN: u64 = 6;
pub(crate) const READ: u64 = 7;

/// A stack of these functions, each at a line of its own.
pub(crate) fn stack(functions: &[u64]) -> Vec<RuntimeAddr> {
    functions.iter().map(|function| RuntimeAddr(1000 + 100 * function + 10 + function)).collect()
}

pub(crate) struct Crafted;

impl Symbols for Crafted {
    fn frames(&self, address: RuntimeAddr) -> Vec<Frame> {
        let index = address.0.checked_sub(1000).and_then(|at| usize::try_from(at / 100).ok());
        let function = index.and_then(|index| CODE.get(index));
        let frame = |function: &&str| Frame {
            function: (*function).into(),
            file: Some("/src/app/main.go".into()),
            line: u32::try_from(address.0 % 100).unwrap(),
            inlined: false,
            begins: 0,
            address: None,
        };
        function.map(frame).into_iter().collect()
    }

    fn wait_reason(&self, number: u8) -> Option<&'static str> {
        wait_reason(&GoVersion::parse("go1.27.3", VersionSource::BuildInfo)?, number)
    }
}

/// A start from second 1 of the runtime's clock on: half a second of bootstrap, two of inits, then main. The first
/// init is `a`, from second 2 to 2.5; the second `b\u{1b}`, to 3.
pub(crate) fn timeline() -> StartupTimeline {
    let at = |tenths: u64| Nanos(AHEAD + tenths * 100_000_000);
    let phase = |name, start: u64, end: u64| Phase {
        name,
        start: at(start),
        duration: at(end).since(at(start)),
        done: name != PhaseName::Main,
        steps: Vec::new(),
        parts: None,
    };
    let init = |name: &str, start: u64, end: u64| {
        Init::over(InitName::Package(name.to_owned()), at(start), at(end).since(at(start)))
    };
    StartupTimeline {
        begin: at(10),
        phases: vec![
            phase(PhaseName::RuntimeBootstrap, 10, 15),
            phase(PhaseName::PackageInit, 15, 35),
            phase(PhaseName::Main, 35, 36),
        ],
        inits: vec![init("a", 20, 25), init("b\u{1b}", 25, 30)],
        to_main: Some(at(35).since(at(10))),
        ended: None,
        replaced_by: None,
        unmarked: Vec::new(),
        waits: Vec::new(),
        calls: Vec::new(),
        libraries: Vec::new(),
        ready: None,
        throttled: None,
        at_main: None,
    }
}

/// Words of a variable.
struct Words {
    from: u32,
    words: Vec<u64>,
}

impl Words {
    fn new(from: u32, count: usize) -> Self {
        Self { from, words: vec![0; count] }
    }

    fn set(&mut self, offset: u32, value: u64) {
        let index = usize::try_from((offset - self.from) / 8).unwrap();
        self.words[index] = value;
    }

    fn set_all(&mut self, offset: u32, values: &[u64]) {
        for (place, value) in (offset..).step_by(8).zip(values) {
            self.set(place, *value);
        }
    }
}
