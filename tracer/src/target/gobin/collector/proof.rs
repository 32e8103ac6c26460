//! Whether the collector's variables are laid out as the version's are: for each field, something that a function
//! of the runtime does with it and with no other. The functions are those of runtime/mgc.go and mgcpacer.go.

use super::super::GoBinary;
use super::super::effects::{Effect, Value, effects};
use super::{CollectorLayout, CollectorRefusal};
use crate::units::VirtAddr;

/// Where the variables are.
pub(super) struct Places {
    pub(super) work: u64,
    pub(super) controller: u64,
    pub(super) memstats: u64,
}

const MARK_TERMINATION: &str = "runtime.gcMarkTermination";

/// The latter two are mostly inlined.
const INIT: [&str; 3] = [
    "runtime.(*gcControllerState).init",
    "runtime.(*gcControllerState).setGCPercent",
    "runtime.(*gcControllerState).setMemoryLimit",
];

/// Where `runtime.runtimeInitTime` is, when the code confirms every offset.
pub(super) fn prove(
    binary: &GoBinary,
    layout: &CollectorLayout,
    places: &Places,
) -> Result<VirtAddr, CollectorRefusal> {
    let fields = Fields { layout, places };
    fields.of_start(&Code::of(binary, "runtime.gcStart", None))?;
    fields.of_mark_done(&Code::of(binary, "runtime.gcMarkDone", None))?;
    let receiver = Some(places.controller);
    fields.of_live(&Code::of(binary, "runtime.(*gcControllerState).resetLive", receiver))?;
    fields.of_init(&INIT.map(|function| Code::of(binary, function, receiver)))?;
    fields.of_commit(&Code::of(binary, "runtime.gcControllerCommit", None))?;
    fields.of_allocation(&Code::of(binary, "runtime.(*mcache).allocLarge", None))?;
    let end = Code::of(binary, MARK_TERMINATION, None);
    fields.of_end(&end)?;
    fields.of_times(&end)?;
    fields.of_print(&end)?;
    fields.init_time(&end, &Code::of(binary, "runtime.main", None))
}

/// What one function does.
struct Code<'a> {
    binary: &'a GoBinary,
    function: &'static str,
    effects: Vec<Effect>,
}

impl<'a> Code<'a> {
    fn of(binary: &'a GoBinary, function: &'static str, receiver: Option<u64>) -> Self {
        let found = binary.functions().named(function);
        // A function that is not there, or cannot be decoded, does nothing that could prove anything.
        let effects = found.and_then(|found| effects(binary, &found, receiver).ok()).unwrap_or_default();
        Self { binary, function, effects }
    }

    fn shows(&self, field: &'static str, is_shown: impl Fn(&Effect) -> bool) -> Result<(), CollectorRefusal> {
        self.require(field, self.effects.iter().any(is_shown))
    }

    fn require(&self, field: &'static str, is_shown: bool) -> Result<(), CollectorRefusal> {
        is_shown.then_some(()).ok_or(CollectorRefusal::Unproven { function: self.function, field })
    }

    /// The first arguments that the function of that name is called with.
    fn calls(&self, callee: &str) -> impl Iterator<Item = [Value; 3]> {
        let entry = self.binary.functions().named(callee).map(|function| function.entry.0);
        self.effects.iter().filter_map(move |effect| match effect {
            Effect::Call { callee, arguments, .. } if Some(*callee) == entry => Some(*arguments),
            _ => None,
        })
    }

    /// Whether these values are on the stack side by side: an array.
    fn has_array(&self, values: &[Value]) -> bool {
        let kept = |at: u64, value: Value| self.effects.contains(&Effect::Keep(at, value));
        self.effects.iter().any(|effect| match effect {
            Effect::Keep(first, _) => {
                let places = (0..).map(|index: u64| first.wrapping_add(8 * index));
                places.zip(values).all(|(at, value)| kept(at, *value))
            }
            _ => false,
        })
    }
}

struct Fields<'a> {
    layout: &'a CollectorLayout,
    places: &'a Places,
}

impl Fields<'_> {
    fn work(&self, offset: u32) -> u64 {
        self.places.work.wrapping_add(u64::from(offset))
    }

    fn controller(&self, offset: u32) -> u64 {
        self.places.controller.wrapping_add(u64::from(offset))
    }

    fn stats(&self, offset: u32) -> u64 {
        self.places.memstats.wrapping_add(u64::from(offset))
    }

    /// `work.stwprocs, work.maxprocs = gomaxprocs, gomaxprocs`, `work.heap0 = gcController.heapLive.Load()`,
    /// `work.pauseNS = 0`, `work.tSweepTerm = now`, `work.cycles.Add(1)`
    fn of_start(&self, code: &Code<'_>) -> Result<(), CollectorRefusal> {
        let work = self.layout.work;
        let live = Value::Of(self.controller(self.layout.controller.heap_live));
        let set = |at| move |effect: &Effect| matches!(effect, Effect::Set(set, _) if *set == at);
        code.shows("work.userForced", set(self.work(work.user_forced)))?;
        code.shows("work.heap0", |effect| *effect == Effect::Set(self.work(work.heap0), live))?;
        code.shows("work.tSweepTerm", set(self.work(work.t_sweep_term)))?;
        code.shows("work.pauseNS", set(self.work(work.pause_ns)))?;
        let cycles = self.work(work.cycles);
        code.shows("work.cycles", |effect| matches!(effect, Effect::Add(added, _) if *added == cycles))?;
        let both = code.effects.iter().any(|effect| match effect {
            Effect::Set(at, procs) if *at == self.work(work.stwprocs) => {
                code.effects.contains(&Effect::Set(self.work(work.maxprocs), *procs))
            }
            _ => false,
        });
        code.require("work.stwprocs", both)
    }

    /// `work.tMarkTerm = now`
    fn of_mark_done(&self, code: &Code<'_>) -> Result<(), CollectorRefusal> {
        let mark_term = self.work(self.layout.work.t_sweep_term + 16);
        code.shows("work.tMarkTerm", |effect| matches!(effect, Effect::Set(at, _) if *at == mark_term))
    }

    /// `c.heapMarked = bytesMarked`, `c.heapLive.Store(bytesMarked)`
    fn of_live(&self, code: &Code<'_>) -> Result<(), CollectorRefusal> {
        let controller = self.layout.controller;
        code.shows("gcController.heapMarked", |effect| match effect {
            Effect::Set(at, marked) if *at == self.controller(controller.heap_marked) => {
                code.effects.contains(&Effect::Store(self.controller(controller.heap_live), *marked))
            }
            _ => false,
        })
    }

    /// `c.gcPercent.Store(in)`, `c.memoryLimit.Store(in)`
    fn of_init(&self, codes: &[Code<'_>; 3]) -> Result<(), CollectorRefusal> {
        let controller = self.layout.controller;
        let set = [controller.gc_percent, controller.memory_limit].map(|offset| self.controller(offset));
        let stores = codes.iter().flat_map(|code| &code.effects).filter_map(|effect| match effect {
            Effect::Store(at, _) => Some(*at),
            _ => None,
        });
        codes[0].require("gcController.gcPercent", stores.eq(set))
    }

    /// `gcPaceScavenger(gcController.memoryLimit.Load(), gcController.heapGoal(), gcController.lastHeapGoal)`
    fn of_commit(&self, code: &Code<'_>) -> Result<(), CollectorRefusal> {
        let controller = self.layout.controller;
        let limit = Value::Of(self.controller(controller.memory_limit));
        let goal = Value::Of(self.controller(controller.last_heap_goal));
        let is_paced = |arguments: [Value; 3]| arguments[0] == limit && arguments[2] == goal;
        code.require("gcController.memoryLimit", code.calls("runtime.gcPaceScavenger").any(is_paced))
    }

    /// `gcController.totalAlloc.Add(int64(npages * pageSize))`
    fn of_allocation(&self, code: &Code<'_>) -> Result<(), CollectorRefusal> {
        let total = self.controller(self.layout.controller.total_alloc);
        code.shows("gcController.totalAlloc", |effect| matches!(effect, Effect::Add(at, _) if *at == total))
    }

    /// What is noted when a cycle is over: `work.heap1 = gcController.heapLive.Load()`, `work.tEnd = now`,
    /// `atomic.Store64(&memstats.last_gc_nanotime, uint64(now))`, `memstats.pause_total_ns += uint64(work.pauseNS)`,
    /// `work.cpuStats.accumulate(now, true)`, `work.cpuStats.GCTotalTime-work.cpuStats.GCIdleTime`,
    /// `memstats.numforcedgc++`, `memstats.numgc++`
    fn of_end(&self, code: &Code<'_>) -> Result<(), CollectorRefusal> {
        let CollectorLayout { work, controller, stats } = *self.layout;
        let live = Value::Of(self.controller(controller.heap_live));
        code.shows("work.heap1", |effect| *effect == Effect::Set(self.work(work.heap0 + 8), live))?;
        let last = self.stats(stats.numgc + 16);
        code.shows("memstats.last_gc_nanotime", |effect| match effect {
            Effect::Set(at, now) if *at == self.work(work.t_sweep_term + 24) => {
                code.effects.contains(&Effect::Store(last, *now))
            }
            _ => false,
        })?;
        let paused = Value::Of(self.work(work.pause_ns));
        let total = Effect::Add(self.stats(stats.pause_total_ns), paused);
        code.shows("memstats.pause_total_ns", |effect| *effect == total)?;
        let cpu = Value::Address(self.work(work.cpu_assist));
        let mut accumulated = code.calls("runtime.(*cpuStats).accumulate");
        code.require("work.cpuStats", accumulated.any(|arguments| arguments[0] == cpu))?;
        let [total, idle] = [32, 16].map(|offset| self.work(work.cpu_assist + offset));
        code.shows("work.cpuStats.GCIdleTime", |effect| *effect == Effect::Subtract(total, idle))?;
        for (field, offset) in [("memstats.numforcedgc", 4), ("memstats.numgc", 0)] {
            let at = self.stats(stats.numgc + offset);
            code.shows(field, |effect| matches!(effect, Effect::Add(added, _) if *added == at))?;
        }
        let fraction = self.stats(stats.numgc + 8);
        code.shows("memstats.gc_cpu_fraction", |effect| *effect == Effect::Multiply(fraction))
    }

    /// The times that gctrace prints: an array of when, and one of how long.
    fn of_times(&self, code: &Code<'_>) -> Result<(), CollectorRefusal> {
        let (work, controller) = (self.layout.work, self.layout.controller);
        let sweep_term = self.work(work.t_sweep_term);
        let [mark, mark_term, end] = [8, 16, 24].map(|offset| self.work(work.t_sweep_term + offset));
        code.require("work.tMark", code.has_array(&[mark, mark_term, end].map(Value::Of)))?;
        let [assist, dedicated, fractional, idle] =
            [0, 8, 16, 24].map(|offset| self.controller(controller.assist_time + offset));
        let array = [
            Value::Times(self.work(work.stwprocs), (mark, sweep_term)),
            Value::Of(assist),
            Value::Sum(dedicated, fractional),
            Value::Of(idle),
        ];
        code.require("gcController.assistTime", code.has_array(&array))
    }

    /// The numbers that gctrace prints, in the order of the print; then comes the question whether it was forced.
    fn of_print(&self, code: &Code<'_>) -> Result<(), CollectorRefusal> {
        let (work, controller) = (self.layout.work, self.layout.controller);
        let heap = [0, 8, 16].map(|offset| Value::Mebi(self.work(work.heap0 + offset)));
        let paced = [controller.last_heap_goal, controller.last_stack_scan, controller.globals_scan]
            .map(|offset| Value::Mebi(self.controller(offset)));
        let printed: Vec<Value> = code.calls("runtime.printuint").map(|arguments| arguments[0]).collect();
        let numgc = Value::Of(self.stats(self.layout.stats.numgc));
        code.require("memstats.numgc", printed.contains(&numgc))?;
        code.require("work.heap0", printed.windows(3).any(|window| window == heap))?;
        let all = [heap, paced].concat();
        code.require("gcController.lastHeapGoal", printed.windows(6).any(|window| window == all))?;

        let maxprocs = Value::Of(self.work(work.maxprocs));
        let printint = code.binary.functions().named("runtime.printint").map(|function| function.entry.0);
        let mut behind = code.effects.iter().skip_while(|effect| {
            !matches!(effect, Effect::Call { callee, arguments, .. }
                if Some(*callee) == printint && arguments[0] == maxprocs)
        });
        code.require("work.maxprocs", behind.next().is_some())?;
        let asked = behind.find(|effect| matches!(effect, Effect::Compare(_)));
        let forced = Effect::Compare(self.work(work.user_forced));
        code.require("work.userForced", asked == Some(&forced))
    }

    /// `uint64(work.tSweepTerm-runtimeInitTime)`, and `runtimeInitTime = nanotime()` in `runtime.main`.
    fn init_time(&self, code: &Code<'_>, main: &Code<'_>) -> Result<VirtAddr, CollectorRefusal> {
        let sweep_term = self.work(self.layout.work.t_sweep_term);
        let is_set = |begun: &u64| {
            main.effects.iter().any(|effect| matches!(effect, Effect::Set(at, _) if at == begun))
        };
        let mut begun = code.effects.iter().filter_map(|effect| match effect {
            Effect::Subtract(from, begun) if *from == sweep_term => Some(*begun),
            _ => None,
        });
        begun.find(is_set).map(VirtAddr).ok_or(CollectorRefusal::Global("runtime.runtimeInitTime"))
    }
}
