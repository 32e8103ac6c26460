//! What the runtime counts, read from memory, beside what the program says of itself: `runtime/metrics` and `MemStats`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use gotrace::target::counters::{CounterError, CounterPlaces, Counters, Pauses, TimeHistogram};
use gotrace::target::gobin::GoBinary;
use gotrace::target::memory::ProcessMemory;
use gotrace::target::process::Process;

use crate::support::{Fixture, fixtures_of};

/// The fixture, opened to be looked at.
pub(crate) struct Program {
    pub(crate) child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    process: Process,
    memory: ProcessMemory,
    bias: u64,
    places: CounterPlaces,
}

/// What the program says: in the order of its line.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) cycles: u64,
    forced: u64,
    marked: u64,
    goal: u64,
    /// The same, a moment before.
    next: u64,
    allocated: u64,
    gc_percent: u64,
    memory_limit: u64,
    goroutines: u64,
    gomaxprocs: u64,
    /// Seconds, as the bits of a float.
    assist: u64,
    pause: u64,
    /// Stops of the world; none before Go 1.22.
    pub(crate) gc: Option<Distribution>,
    pub(crate) other: Option<Distribution>,
}

/// How many stops were how long.
#[derive(Debug, PartialEq)]
pub(crate) struct Distribution {
    negative: u64,
    /// By the lower ends of Go's buckets, in nanoseconds.
    pub(crate) buckets: Vec<(u64, u64)>,
}

impl Distribution {
    fn parse(word: &str) -> Option<Self> {
        let mut all = word.strip_prefix(':')?.split(',');
        let number = |text: &str| text.parse().expect("a number");
        let negative = number(all.next()?);
        let bucket = |text: &str| text.split_once(':').map(|(lower, count)| (number(lower), number(count)));
        Some(Self { negative, buckets: all.map(|text| bucket(text).expect("a bucket")).collect() })
    }

    fn of(histogram: &TimeHistogram) -> Self {
        Self { negative: histogram.negative(), buckets: histogram.buckets().collect() }
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

impl Said {
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (numbers, [gc, other]) = words.split_at(words.len() - 2) else { panic!("{line}") };
        let numbers: Vec<u64> = numbers.iter().map(|word| word.parse().expect("a number")).collect();
        let [
            cycles,
            forced,
            marked,
            goal,
            allocated,
            gc_percent,
            memory_limit,
            gomaxprocs,
            assist,
            pause,
            next,
            total,
            goroutines,
        ] = numbers[..]
        else {
            panic!("{line}")
        };
        // Go's two interfaces agree.
        assert_eq!(total, allocated, "{line}");
        Self {
            cycles,
            forced,
            marked,
            goal,
            next,
            allocated,
            gc_percent,
            memory_limit,
            goroutines,
            gomaxprocs,
            assist,
            pause,
            gc: Distribution::parse(gc),
            other: Distribution::parse(other),
        }
    }

    /// The same by what gotrace has read. Go's numbers for what is not there are its own.
    #[expect(clippy::cast_precision_loss, reason = "as the runtime does")]
    fn of((counters, pauses): &(Counters, Option<Pauses>)) -> Self {
        Self {
            cycles: counters.gc_cycles,
            forced: counters.gc_forced,
            marked: counters.heap_marked_bytes,
            goal: counters.heap_goal_bytes,
            next: counters.heap_goal_bytes,
            allocated: counters.allocated_bytes_total,
            gc_percent: counters.gc_percent.unwrap_or(u64::MAX),
            memory_limit: counters.memory_limit_bytes.unwrap_or(i64::MAX.cast_unsigned()),
            goroutines: counters.goroutines.expect("goroutines"),
            gomaxprocs: counters.gomaxprocs.expect("GOMAXPROCS"),
            assist: (counters.gc_assist_ns_total as f64 / 1e9).to_bits(),
            pause: counters.gc_pause_ns_total,
            gc: pauses.as_ref().map(|pauses| Distribution::of(&pauses.gc)),
            other: pauses.as_ref().map(|pauses| Distribution::of(&pauses.other)),
        }
    }
}

impl Program {
    pub(crate) fn start(fixture: &Fixture) -> (Self, Said) {
        let mut command = Command::new(&fixture.path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdin = child.stdin.take().expect("a pipe");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first = String::new();
        stdout.read_line(&mut first).expect("a line");
        let process = Process::of_pid(child.id()).expect("a process");
        let binary = GoBinary::from_file(process.open_exe().expect("its executable"), process.exe());
        let binary = binary.expect("Go");
        let memory = process.memory().expect("its memory");
        let bias = process.load_bias(&binary, &memory).expect("its binary");
        let places = CounterPlaces::of(&binary).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        (Self { child, stdin, stdout, process, memory, bias, places }, Said::parse(&first))
    }

    pub(crate) fn tell(&mut self, step: &str) {
        writeln!(self.stdin, "{step}").expect("it listens");
    }

    pub(crate) fn hear(&mut self) -> Said {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        Said::parse(&line)
    }

    fn read(&self) -> (Counters, Option<Pauses>) {
        (self.counters(), self.pauses().expect("pauses"))
    }

    fn counters(&self) -> Counters {
        Counters::read(&self.memory, self.bias, &self.places).expect("counters")
    }

    fn pauses(&self) -> Result<Option<Pauses>, CounterError> {
        Pauses::read(&self.memory, self.bias, &self.places)
    }

    fn threads(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        tasks.count() as u64
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Free lists of Ps and of the scheduler, with and without stacks; a heap that follows GOGC, and one that follows the
/// limit; cycles with and without assists.
const STEPS: [&str; 18] = [
    "gc",
    "keep 32",
    "garbage 32",
    "gc",
    "go 1000",
    "end",
    "go 300",
    "procs 3",
    "percent 10",
    "garbage 50",
    "gc",
    "limit 90",
    "percent -1",
    "gc",
    "limit 40",
    "garbage 10",
    "procs 1",
    "end",
];

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn counters_are_what_the_program_says_of_itself() {
    for fixture in fixtures_of("counters") {
        let (mut program, ready) = Program::start(&fixture);
        let scheduler = &program.places.scheduler;
        assert!(scheduler.is_ok(), "{}: {scheduler:?}", fixture.name);
        // Go 1.21 has none.
        let pauses = &program.places.pauses;
        assert_eq!(pauses.is_ok(), ready.gc.is_some(), "{}: {pauses:?}", fixture.name);
        assert_eq!(ready.gc.is_some(), !fixture.name.contains("go1.21"), "{}", fixture.name);
        assert_eq!(Said::of(&program.read()), ready, "{}: at first", fixture.name);
        let mut live = program.counters().heap_live_bytes;
        let mut last = ready;
        for step in STEPS {
            program.tell(step);
            let (mut said, mut read) = (program.hear(), program.read());
            // With a limit the goal depends on all memory, so also on stacks that are given back in the background.
            for _ in 0..100 {
                if said.memory_limit == i64::MAX.cast_unsigned() || Said::of(&read) == said {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
                program.tell("again");
                (said, read) = (program.hear(), program.read());
            }
            assert_eq!(Said::of(&read), said, "{}: {step}", fixture.name);
            // Of this Go says nothing. What it keeps is in it; what was freed may be.
            let (read, _) = read;
            assert!(read.heap_live_bytes >= said.marked, "{}: {step}: {read:?}", fixture.name);
            let grown = said.allocated - last.allocated + (1 << 20);
            assert!(read.heap_live_bytes <= live + grown, "{}: {step}: {read:?}", fixture.name);
            (live, last) = (read.heap_live_bytes, said);
        }
        assert!(f64::from_bits(last.assist) > 0.0, "{}: no goroutine had to help", fixture.name);
        // Two stops a cycle, or more; of the others the program itself asks for some with each step.
        let stops = |distribution: &Option<Distribution>| distribution.as_ref().map(Distribution::count);
        let (gc, other) = (stops(&last.gc), stops(&last.other));
        assert!(gc.is_none_or(|stops| stops >= 2 * last.cycles), "{}: {last:?}", fixture.name);
        assert!(other.is_none_or(|stops| stops >= STEPS.len() as u64), "{}: {last:?}", fixture.name);
        let a_reading = |read: &dyn Fn()| {
            let begin = Instant::now();
            (0..1000).for_each(|_| read());
            begin.elapsed() / 1000
        };
        let counters = a_reading(&|| {
            program.counters();
        });
        let pauses = a_reading(&|| {
            program.pauses().expect("pauses");
        });
        eprintln!(
            "{}: {counters:?} a reading, {pauses:?} one of pauses; {} cycles, stops {gc:?} and {other:?}",
            fixture.name, last.cycles
        );
        assert_eq!(program.process.stat().expect("its stat").threads, program.threads(), "{}", fixture.name);
    }
}

/// While it collects all the time, every reading is of a state that the program was in: no figure that only grows
/// is ever less than before or more than after.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_that_never_rests_is_read_all_the_same() {
    for fixture in fixtures_of("counters") {
        let (mut program, _) = Program::start(&fixture);
        program.tell("go 500");
        program.hear();
        program.tell("percent 20");
        let before = program.hear();
        program.tell("garbage 500");
        let begin = Instant::now();
        let (mut readings, mut pauses) = (Vec::new(), Vec::new());
        let (mut changing, mut refused) = (0, 0);
        while begin.elapsed() < Duration::from_millis(300) {
            match Counters::read(&program.memory, program.bias, &program.places) {
                Ok(counters) => readings.push(counters),
                Err(error) => {
                    changing += 1;
                    eprintln!("{}: {error}", fixture.name);
                }
            }
            match program.pauses() {
                Ok(read) => pauses.extend(read),
                Err(error) => {
                    refused += 1;
                    eprintln!("{}: pauses: {error}", fixture.name);
                }
            }
        }
        let after = program.hear();
        assert!(refused * 100 <= readings.len(), "{}: {refused} of {}", fixture.name, readings.len());
        assert_eq!(pauses.is_empty(), after.gc.is_none(), "{}", fixture.name);
        only_grow(&pauses, &before, &after);
        let growing = |counters: &Counters| {
            let Counters { gc_cycles, gc_pause_ns_total, allocated_bytes_total, .. } = *counters;
            [gc_cycles, gc_pause_ns_total, allocated_bytes_total, counters.gc_assist_ns_total]
        };
        for pair in readings.windows(2) {
            let (old, new) = (growing(&pair[0]), growing(&pair[1]));
            assert!(old.iter().zip(new).all(|(old, new)| *old <= new), "{}: {pair:?}", fixture.name);
        }
        for counters in &readings {
            assert!((before.cycles..=after.cycles).contains(&counters.gc_cycles), "{counters:?}");
            assert!((before.pause..=after.pause).contains(&counters.gc_pause_ns_total), "{counters:?}");
            // The workers come and go, and are the runtime's own.
            let goroutines = counters.goroutines.expect("goroutines");
            assert!(goroutines.abs_diff(after.goroutines) <= 8, "{goroutines}, {}", after.goroutines);
        }
        assert!(changing * 100 <= readings.len(), "{}: {changing} of {}", fixture.name, readings.len());
        eprintln!(
            "{}: {} readings while there were {} cycles, and {} of pauses",
            fixture.name,
            readings.len(),
            after.cycles - before.cycles,
            pauses.len()
        );
    }
}

/// No bucket is ever less than before or more than after.
fn only_grow(pauses: &[Pauses], before: &Said, after: &Said) {
    let both = |pauses: &Pauses| [Distribution::of(&pauses.gc), Distribution::of(&pauses.other)];
    let grows = |old: &Distribution, new: &Distribution| {
        old.buckets.iter().zip(&new.buckets).all(|((_, old), (_, new))| old <= new)
    };
    let mut last = [before.gc.as_ref(), before.other.as_ref()];
    let all: Vec<_> = pauses.iter().map(both).collect();
    for read in
        all.iter().map(|read| read.each_ref().map(Some)).chain([[after.gc.as_ref(), after.other.as_ref()]])
    {
        for (old, new) in last.into_iter().flatten().zip(read.into_iter().flatten()) {
            assert!(grows(old, new), "{old:?}, then {new:?}");
        }
        last = read;
    }
}
