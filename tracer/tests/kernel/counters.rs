//! What the runtime counts, read from memory, beside what the program says of itself: `runtime/metrics` and `MemStats`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use gotrace::target::counters::{CounterPlaces, Counters};
use gotrace::target::gobin::GoBinary;
use gotrace::target::memory::ProcessMemory;
use gotrace::target::process::Process;

use crate::support::{Fixture, fixtures_of};

/// The fixture, opened to be looked at.
struct Program {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    process: Process,
    memory: ProcessMemory,
    bias: u64,
    places: CounterPlaces,
}

/// What the program says: in the order of its line.
#[derive(Debug, PartialEq)]
struct Said {
    cycles: u64,
    forced: u64,
    marked: u64,
    goal: u64,
    allocated: u64,
    gc_percent: u64,
    memory_limit: u64,
    goroutines: u64,
    gomaxprocs: u64,
    /// Seconds, as the bits of a float.
    assist: u64,
    pause: u64,
}

impl Said {
    fn parse(line: &str) -> Self {
        let numbers: Vec<u64> = line.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let [
            cycles,
            forced,
            marked,
            goal,
            allocated,
            gc_percent,
            memory_limit,
            goroutines,
            gomaxprocs,
            assist,
            pause,
            next,
            total,
        ] = numbers[..]
        else {
            panic!("{line}")
        };
        // Go's two interfaces agree.
        assert_eq!((next, total), (goal, allocated), "{line}");
        Self {
            cycles,
            forced,
            marked,
            goal,
            allocated,
            gc_percent,
            memory_limit,
            goroutines,
            gomaxprocs,
            assist,
            pause,
        }
    }

    /// The same by what gotrace has read. Go's numbers for what is not there are its own.
    #[expect(clippy::cast_precision_loss, reason = "as the runtime does")]
    fn of(counters: &Counters) -> Self {
        Self {
            cycles: counters.gc_cycles,
            forced: counters.gc_forced,
            marked: counters.heap_marked_bytes,
            goal: counters.heap_goal_bytes,
            allocated: counters.allocated_bytes_total,
            gc_percent: counters.gc_percent.unwrap_or(u64::MAX),
            memory_limit: counters.memory_limit_bytes.unwrap_or(i64::MAX.cast_unsigned()),
            goroutines: counters.goroutines.expect("goroutines"),
            gomaxprocs: counters.gomaxprocs.expect("GOMAXPROCS"),
            assist: (counters.gc_assist_ns_total as f64 / 1e9).to_bits(),
            pause: counters.gc_pause_ns_total,
        }
    }
}

impl Program {
    fn start(fixture: &Fixture) -> (Self, Said) {
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
        let begin = Instant::now();
        let places = CounterPlaces::of(&binary).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        println!("{}: places found in {:?}", fixture.name, begin.elapsed());
        (Self { child, stdin, stdout, process, memory, bias, places }, Said::parse(&first))
    }

    fn tell(&mut self, step: &str) {
        writeln!(self.stdin, "{step}").expect("it listens");
    }

    fn hear(&mut self) -> Said {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        Said::parse(&line)
    }

    fn read(&self) -> Counters {
        Counters::read(&self.memory, self.bias, &self.places).expect("counters")
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
const STEPS: [&str; 16] = [
    "gc",
    "keep 32",
    "garbage 64",
    "gc",
    "go 1000",
    "end",
    "go 300",
    "procs 3",
    "percent 10",
    "garbage 200",
    "limit 40",
    "garbage 50",
    "percent -1",
    "garbage 30",
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
        assert_eq!(Said::of(&program.read()), ready, "{}: at first", fixture.name);
        let mut live = program.read().heap_live_bytes;
        let mut last = ready;
        for step in STEPS {
            program.tell(step);
            let said = program.hear();
            let read = program.read();
            assert_eq!(Said::of(&read), said, "{}: {step}", fixture.name);
            // Of this Go says nothing. What it keeps is in it; what was freed may be.
            assert!(read.heap_live_bytes >= said.marked, "{}: {step}: {read:?}", fixture.name);
            let grown = said.allocated - last.allocated + (1 << 20);
            assert!(read.heap_live_bytes <= live + grown, "{}: {step}: {read:?}", fixture.name);
            (live, last) = (read.heap_live_bytes, said);
        }
        assert!(f64::from_bits(last.assist) > 0.0, "{}: no goroutine had to help", fixture.name);
        let begin = Instant::now();
        for _ in 0..1000 {
            program.read();
        }
        println!("{}: {:?} a reading, {last:?}", fixture.name, begin.elapsed() / 1000);
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
        program.tell("garbage 4000");
        let begin = Instant::now();
        let mut readings = Vec::new();
        let mut changing = 0;
        while begin.elapsed() < Duration::from_secs(1) {
            match Counters::read(&program.memory, program.bias, &program.places) {
                Ok(counters) => readings.push(counters),
                Err(error) => {
                    changing += 1;
                    println!("{}: {error}", fixture.name);
                }
            }
        }
        let after = program.hear();
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
        println!(
            "{}: {} readings while there were {} cycles",
            fixture.name,
            readings.len(),
            after.cycles - before.cycles
        );
    }
}
