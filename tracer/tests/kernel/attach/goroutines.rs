//! All goroutines of a program, against its own goroutine dump.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use gotrace::model::{LoadedCode, Stack};
use gotrace::target::gobin::GoBinary;
use gotrace::target::goroutines::{Goroutine, GoroutineList, GoroutineStatus, Goroutines, Limits, StackRead};
use gotrace::target::memory::ProcessMemory;
use gotrace::target::process::Process;
use gotrace::units::VirtAddr;

use super::dump::{Dumped, parse};
use super::{Running, fifo};
use crate::support::{Fixture, fixture, fixtures_of};

/// A function, and its `file:line`.
type Frame = (String, String);

/// A program, opened to be looked at.
struct Opened {
    process: Process,
    binary: GoBinary,
    memory: ProcessMemory,
    bias: u64,
}

impl Opened {
    fn new(pid: u32) -> Self {
        let process = Process::find(&pid.to_string()).expect("a process");
        let binary =
            GoBinary::from_file(process.open_exe().expect("its executable"), process.exe()).expect("Go");
        let memory = process.memory().expect("its memory");
        let bias = process.load_bias(&binary, &memory).expect("its binary");
        Self { process, binary, memory, bias }
    }

    fn look(&self, limits: Limits) -> Goroutines {
        let list = GoroutineList::find(&self.binary, self.bias, &self.memory).expect("a list");
        list.expect("goroutines").read(&self.memory, limits).expect("readable goroutines")
    }

    /// The functions on a goroutine's stack, with their lines, as dumps have them.
    fn frames(&self, seen: &Goroutines, goroutine: &Goroutine) -> Vec<Frame> {
        let code = LoadedCode { binary: &self.binary, bias: self.bias };
        let stack = Stack::of(seen.stack(goroutine).expect("a stack"), &code);
        assert!(stack.whole, "goroutine {}: {stack:?}", goroutine.goid);
        let frames = stack.frames.into_iter();
        frames.map(|frame| (plain(&frame.function), at(frame.file.as_deref(), frame.line))).collect()
    }

    /// The function that holds the go statement.
    fn creator(&self, goroutine: &Goroutine) -> Option<String> {
        let pc = goroutine.place.created.0.checked_sub(self.bias)?.checked_sub(1)?;
        Some(plain(&self.binary.frames(VirtAddr(pc)).first()?.function))
    }
}

fn at(file: Option<&str>, line: u32) -> String {
    format!("{}:{line}", file.unwrap_or("?"))
}

/// As dumps write it: type arguments left out, and one function under its name in the language.
fn plain(function: &str) -> String {
    if function == "runtime.gopanic" {
        return "panic".to_owned();
    }
    match (function.find('['), function.rfind(']')) {
        (Some(from), Some(to)) => format!("{}[...]{}", &function[..from], &function[to + 1..]),
        _ => function.to_owned(),
    }
}

/// What a dump has between the brackets.
fn state(goroutine: &Goroutine) -> String {
    let wait = goroutine.place.wait.map(|wait| wait.text);
    wait.unwrap_or_else(|| goroutine.place.status.name()).to_owned()
}

/// The fixture, which dumps its goroutines when asked.
struct Parked {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl Parked {
    /// `level` is Go's GOTRACEBACK: `system` shows everything.
    fn start(fixture: &Fixture, level: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(&fixture.path)
            .arg(folder.path())
            .env("GOTRACEBACK", level)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("stderr")).expect("a file for standard error"))
            .spawn()
            .expect("it starts");
        let stdin = child.stdin.take().expect("its standard input");
        let stdout = BufReader::new(child.stdout.take().expect("its standard output"));
        let mut parked = Self { child, stdin, stdout, folder };
        parked.lines_until("parked");
        parked
    }

    fn lines_until(&mut self, last: &str) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).expect("text"), 0, "it ended: {text}");
            if line.trim_end() == last {
                return text;
            }
            text.push_str(&line);
        }
    }

    fn dump(&mut self) -> BTreeMap<u64, Dumped> {
        self.stdin.write_all(b"\n").expect("it listens");
        parse(&self.lines_until("end of dump"))
    }

    /// The fatal signal's dump, which has everything.
    fn last_dump(&mut self) -> BTreeMap<u64, Dumped> {
        // SAFETY: the child is ours and not waited for, so the number is still its.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGQUIT) }, 0);
        self.child.wait().expect("it ends");
        full(&fs::read_to_string(self.folder.path().join("stderr")).expect("a dump"))
    }
}

/// A fatal signal's dump, without threads' own stacks.
fn full(text: &str) -> BTreeMap<u64, Dumped> {
    let mut dump = parse(text);
    dump.remove(&0);
    dump
}

/// What gotrace saw when nothing moved for a while.
fn at_rest(opened: &Opened) -> Goroutines {
    let begin = Instant::now();
    let places = |seen: &Goroutines| {
        seen.all.iter().map(|goroutine| (goroutine.goid, goroutine.place)).collect::<Vec<_>>()
    };
    let rests = |goroutine: &Goroutine| {
        matches!(goroutine.place.status, GoroutineStatus::Waiting | GoroutineStatus::Syscall)
    };
    let mut before = opened.look(Limits::default());
    loop {
        thread::sleep(Duration::from_millis(100));
        let after = opened.look(Limits::default());
        if places(&before) == places(&after) && after.all.iter().all(rests) {
            return after;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it never rests: {before:?}");
        before = after;
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

fn compare(
    name: &str,
    opened: &Opened,
    seen: &Goroutines,
    dump: &BTreeMap<u64, Dumped>,
    shown: fn(&Frame) -> bool,
) {
    for (goid, dumped) in dump {
        let who = format!("{name}: goroutine {goid}");
        let goroutine = seen.all.iter().find(|goroutine| goroutine.goid == *goid).expect(&who);
        // The one that dumps runs while it does.
        if dumped.state == "running" {
            continue;
        }
        assert_eq!(state(goroutine), dumped.state, "{who}");
        assert_eq!(goroutine.locked, dumped.locked, "{who}");
        let (mut ours, mut its) = (opened.frames(seen, goroutine), dumped.frames.clone());
        ours.retain(shown);
        its.retain(shown);
        if !shown(&("runtime.gopark".to_owned(), String::new())) {
            // What the compiler wrote around a go statement's call is not shown then either.
            ours.retain(|frame| its.contains(frame));
        }
        assert_eq!(ours, its, "{who}");
        // Dumps do not tell of the first.
        if *goid != 1 {
            let creator = opened.creator(goroutine).map(|creator| (creator, String::new())).filter(shown);
            assert_eq!(creator.map(|(creator, _)| creator), dumped.creator, "{who}");
        }
        if goroutine.parent.is_some() && dumped.parent.is_some() {
            assert_eq!(goroutine.parent, dumped.parent, "{who}");
        }
        if let (Some(thread), false) = (dumped.thread, goroutine.locked) {
            assert_eq!(goroutine.thread.map(|known| known.id), thread, "{who}");
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn goroutines_are_where_the_programs_own_dump_has_them() {
    for fixture in fixtures_of("parked") {
        let mut parked = Parked::start(&fixture, "system");
        let opened = Opened::new(parked.child.id());
        let seen = at_rest(&opened);
        let ids = |seen: &Goroutines| seen.all.iter().map(|goroutine| goroutine.goid).collect::<Vec<_>>();
        assert_eq!((seen.changed, seen.unreadable, seen.beyond), (0, 0, 0), "{}", fixture.name);
        assert_eq!(seen.live(), seen.all.len());
        let with = |reason: &str| {
            let found = seen.all.iter().filter(|goroutine| state(goroutine) == reason);
            found.filter(|goroutine| !goroutine.place.system).collect::<Vec<_>>()
        };
        let least = [("chan receive", 7), ("select", 1), ("sleep", 1), ("IO wait", 3), ("syscall", 4)];
        for (reason, least) in least {
            assert!(with(reason).len() >= least, "{}: {} of {reason}", fixture.name, with(reason).len());
        }
        for goroutine in with("syscall") {
            let procid = goroutine.thread.expect("a thread").procid;
            let tid = opened.process.thread_known_as(procid).expect("a thread of the process");
            assert!(opened.process.thread(tid).is_some_and(|thread| thread.syscall.is_some()));
        }
        let objects: Vec<String> = with("IO wait")
            .iter()
            .map(|goroutine| opened.process.object(goroutine.polled_fd.expect("a descriptor")).expect("open"))
            .collect();
        for part in ["(listening)", "->127.0.0.1:", "fifo "] {
            assert!(objects.iter().any(|object| object.contains(part)), "{}: {objects:?}", fixture.name);
        }

        let dump = parked.last_dump();
        assert_eq!(ids(&seen), dump.keys().copied().collect::<Vec<_>>(), "{}", fixture.name);
        compare(&fixture.name, &opened, &seen, &dump, |_| true);
    }
}

/// Without being told to, Go leaves its own goroutines out.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_runtimes_own_goroutines_are_those_that_dumps_leave_out() {
    for fixture in fixtures_of("parked") {
        let mut parked = Parked::start(&fixture, "all");
        let opened = Opened::new(parked.child.id());
        let seen = at_rest(&opened);
        let dump = parked.dump();
        let program = seen.all.iter().filter(|goroutine| !goroutine.place.system);
        let ids: Vec<u64> = program.map(|goroutine| goroutine.goid).collect();
        assert_eq!(ids, dump.keys().copied().collect::<Vec<_>>(), "{}", fixture.name);
        // Nor does it show the runtime's functions.
        compare(&fixture.name, &opened, &seen, &dump, |(function, _)| {
            !function.starts_with("runtime.") && function != "panic"
        });
    }
}

/// Programs of others, of Go 1.19; SIGQUIT makes them dump.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn real_programs_goroutines_are_where_their_own_dump_has_them() {
    for program in ["prometheus", "restic"] {
        let fixture = fixture(program);
        let folder = tempfile::tempdir().unwrap();
        let fifo = fifo(folder.path());
        let fifo = fifo.to_str().unwrap();
        let arguments: &[&str] = match program {
            "prometheus" => &["--config.file", fifo],
            _ => &["snapshots", "--password-file", fifo, "--repo", "/nowhere"],
        };
        let mut command = Command::new(&fixture.path);
        command.args(arguments).env("HOME", folder.path()).env("GOTRACEBACK", "system");
        let mut running = Running::start(command);
        running.attach_until(|attached| attached.one("startup_status")["in_main"] == true);
        let opened = Opened::new(running.child.id());
        let seen = at_rest(&opened);
        running.signal(libc::SIGQUIT);
        running.child.wait().unwrap();
        let dump = full(&fs::read_to_string(running.folder.path().join("stderr")).unwrap());
        let ids: Vec<u64> = seen.all.iter().map(|goroutine| goroutine.goid).collect();
        assert_eq!(ids, dump.keys().copied().collect::<Vec<_>>(), "{program}");
        compare(program, &opened, &seen, &dump, |_| true);
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn limits_are_kept_and_what_is_beyond_is_counted() {
    let fixture = fixtures_of("parked").pop().unwrap();
    let parked = Parked::start(&fixture, "all");
    let opened = Opened::new(parked.child.id());
    let all = at_rest(&opened);
    let count = all.live() + all.dead;
    let short = opened.look(Limits { listed: 5, ..Limits::default() });
    assert_eq!((short.live() + short.dead, short.beyond), (5, count - 5));
    let few = opened.look(Limits { stacks: 3, ..Limits::default() });
    let read = few.all.iter().filter(|goroutine| matches!(goroutine.stack, StackRead::At(_))).count();
    assert_eq!((few.live(), few.all.len(), read), (all.live(), all.all.len(), 3));
    let told = opened.look(Limits { told: 4, ..Limits::default() });
    assert_eq!(told.live(), all.live());
    assert!((4..=8).contains(&told.all.len()), "{}", told.all.len());
    assert_eq!(told.groups.iter().map(|group| group.told).sum::<usize>(), told.all.len());
    let one = opened.look(Limits { groups: 1, ..Limits::default() });
    assert_eq!(one.live(), all.live());
    assert!(one.groups.len() < all.groups.len());
}
