//! Programs that are stuck in an init: where, on what, for how long.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Attached, Running, attach, fifo, inits_of};
use crate::number;
use crate::support::{fixtures, fixtures_of, inittrace, text};

/// Where the fixture is stuck, and at which line.
const GATE: &str = include_str!("../../fixtures/go/stuckininit/gate/gate.go");

/// The line of the fixture's source that has that text.
fn line_of(part: &str) -> usize {
    let mut found = GATE.lines().enumerate().filter(|(_, line)| line.contains(part));
    let (index, _) = found.next().unwrap_or_else(|| panic!("{part} is not in gate.go"));
    assert!(found.next().is_none(), "{part} is in gate.go more than once");
    index + 1
}

/// Connections to it stay half made: its queue is full.
pub(crate) struct BlackHole {
    pub(crate) at: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) fn new() -> Self {
        use std::os::fd::AsRawFd as _;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        // SAFETY: the socket is open; listening again only changes the length of its queue.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let at = listener.local_addr().expect("its address");
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
            queued.push(stream);
            assert!(queued.len() < 16, "the queue of {at} does not fill");
        }
        Self { at, _listener: listener, _queued: queued }
    }
}

/// What is expected of one way to be stuck.
struct Way {
    name: &'static str,
    on: String,
    state: &'static str,
    kind: &'static str,
    /// The system call, or the wait reason.
    what: &'static str,
    /// How the object begins.
    object: Option<String>,
    /// The fixture's line that waits.
    line: &'static str,
}

fn ways(hole: &BlackHole, silent: &TcpListener, fifo: &Path) -> Vec<Way> {
    let (hole, silent) = (hole.at.to_string(), silent.local_addr().expect("its address").to_string());
    let fifo = fifo.to_str().expect("a plain path").to_owned();
    let way = |name, on: &str, state, kind, what, object: Option<String>, line| Way {
        name,
        on: on.to_owned(),
        state,
        kind,
        what,
        object,
        line,
    };
    let to = |peer: &str| Some(format!("->{peer}"));
    vec![
        way("dial", &hole, "waiting", "network", "IO wait", to(&hole), "// for ever"),
        way("socket", &silent, "waiting", "network", "IO wait", to(&silent), "conn.Read("),
        way("rawconnect", &hole, "syscall", "network", "connect", to(&hole), "syscall.Connect("),
        way("rawread", &fifo, "syscall", "file", "read", Some(format!("fifo {fifo}")), "syscall.Read("),
        way("fifo", &fifo, "syscall", "file", "openat", Some(format!("file {fifo}")), "os.Open(on)"),
        way("sleep", "", "waiting", "sleep", "sleep", None, "// alone"),
        way("chan", "", "waiting", "goroutine", "chan receive", None, "<-make(chan int)"),
        way("mutex", "", "waiting", "goroutine", "sync.Mutex.Lock", None, "// again"),
    ]
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_that_is_stuck_in_an_init_shows_where_and_on_what() {
    let folder = tempfile::tempdir().unwrap();
    let (hole, fifo) = (BlackHole::new(), fifo(folder.path()));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for fixture in fixtures_of("stuckininit") {
        let inits = inits_of(&fixture);
        for way in ways(&hole, &silent, &fifo) {
            let name = format!("{} {}", fixture.name, way.name);
            let running = Running::stuck(&fixture, way.name, &way.on);
            let attached = running.attach_until(Attached::is_stuck);
            let (status, blocked) = (attached.one("startup_status"), attached.one("blocked_now"));
            assert!(attached.is_stuck(), "{name}: {status} {blocked}");
            assert_eq!(status["state"], "in_init", "{name}");
            assert_eq!(status["package"], "example.com/stuckininit/gate", "{name}: {status}");
            // Go itself says which inits are over: one line each.
            let over = inittrace(&running.stderr()).len() as u64;
            assert_eq!(number(&status["inits_done"]), over, "{name}: {status}");
            assert_eq!((number(&status["seq"]), number(&status["inits"])), (over, inits), "{name}: {status}");
            assert_eq!(status["function"], "example.com/stuckininit/gate.init.0", "{name}: {status}");
            assert_eq!(number(&status["line"]), line_of("ways[os.Getenv") as u64, "{name}: {status}");
            assert_eq!(status["in_main"], false, "{name}: {status}");

            assert_eq!(
                (&blocked["state"], &blocked["kind"]),
                (&way.state.into(), &way.kind.into()),
                "{name}"
            );
            let what = if way.state == "syscall" { &blocked["syscall"] } else { &blocked["wait_reason"] };
            // Go 1.19 had one reason for all that waits for a semaphore.
            let is_any = fixture.is_of_go_1_19() && way.what == "sync.Mutex.Lock";
            let expected = if is_any { "semacquire" } else { way.what };
            assert_eq!(what, expected, "{name}: {blocked}");
            match &way.object {
                Some(part) => assert!(text(&blocked["object"]).contains(part), "{name}: {blocked}"),
                None => assert_eq!(blocked["object"], Value::Null, "{name}: {blocked}"),
            }
            assert_eq!(number(&blocked["tid"]), u64::from(running.child.id()), "{name}: {blocked}");
            assert_eq!(blocked["stack_whole"], true, "{name}: {blocked}");
            let (function, line) = way.place();
            let place = format!("example.com/stuckininit/gate.{function} gate.go:{line}");
            let stack = blocked["stack"].as_array().unwrap();
            assert!(stack.contains(&place.as_str().into()), "{name}: {place} is not in {blocked}");
            assert_eq!(
                stack.last().unwrap().as_str().unwrap().split(' ').next(),
                Some("runtime.main"),
                "{name}"
            );
            assert!(number(&blocked["for_ns"]) <= number(&status["age_ns"]), "{name}: {blocked}");
        }
        eprintln!("{}: {inits} inits, and every way to be stuck", fixture.name);
    }
}

impl Way {
    /// The fixture's function that waits, and the line.
    fn place(&self) -> (&'static str, usize) {
        let function = match self.name {
            "rawconnect" => "rawConnect",
            "rawread" => "rawRead",
            "chan" => "channel",
            other => other,
        };
        (function, line_of(self.line))
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn c_code_that_an_init_waits_in_is_seen_from_the_go_side() {
    for fixture in fixtures_of("stuckininit").iter().filter(|fixture| fixture.build == "cgo") {
        let running = Running::stuck(fixture, "c", "");
        let attached = running.attach_until(Attached::is_stuck);
        let blocked = attached.one("blocked_now");
        assert_eq!(blocked["syscall"], "clock_nanosleep", "{blocked}");
        assert_eq!((&blocked["kind"], &blocked["object"]), (&"sleep".into(), &"of 3600.000 s".into()));
        assert!(blocked["stack"].to_string().contains("gate._Cfunc_sleep"), "{blocked}");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn an_init_that_computes_is_not_called_stuck() {
    for fixture in fixtures_of("stuckininit") {
        let running = Running::stuck(&fixture, "spin", "");
        let in_gate =
            |attached: &Attached| attached.one("startup_status")["package"] == "example.com/stuckininit/gate";
        let attached = running.attach_until(in_gate);
        let (status, blocked) = (attached.one("startup_status"), attached.one("blocked_now"));
        assert!(in_gate(&attached), "{}: {status}", fixture.name);
        assert_eq!((&status["state"], &status["stuck"]), (&"in_init".into(), &false.into()), "{status}");
        assert!(
            ["running", "runnable", "preempted"].contains(&text(&blocked["state"]).as_str()),
            "{blocked}"
        );
        assert_eq!((&blocked["for_ns"], &blocked["kind"]), (&Value::Null, &Value::Null), "{blocked}");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn how_long_it_has_been_stuck_is_never_too_much_and_hardly_too_little() {
    let fixture = fixtures_of("stuckininit").pop().unwrap();
    let before = Instant::now();
    let running = Running::stuck(&fixture, "sleep", "");
    running.attach_until(Attached::is_stuck);
    let stuck = Instant::now();
    thread::sleep(Duration::from_secs(1));
    let begin = Instant::now();
    let attached = attach(running.child.id());
    let end = Instant::now();
    let blocked = attached.one("blocked_now");
    let told = Duration::from_nanos(number(&blocked["for_ns"]));
    assert!(told <= end - before, "{told:?} of at most {:?}: {blocked}", end - before);
    if blocked["evidence"] == "thread_asleep" {
        assert!(told + Duration::from_millis(50) >= begin - stuck, "{told:?} of {:?}", begin - stuck);
    }
    eprintln!("told {told:?}, stuck since at least {:?}; by {}", begin - stuck, blocked["evidence"]);
}

/// Stopped wherever they happen to be in their inits, programs of others are where Go itself says: each line of
/// its account is an init that is over, or just about to be, and the next one is the one that runs.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_stopped_in_the_middle_is_where_go_says() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = fifo(folder.path());
    let mut in_init = 0;
    for fixture in fixtures() {
        let option = match fixture.program.as_str() {
            "prometheus" => "--config.file",
            "dockerd" => "--config-file",
            "slowstart" => "--",
            _ => continue,
        };
        for stop in 1..=8 {
            let mut command = Command::new(&fixture.path);
            command.arg(option).arg(&fifo).env("GODEBUG", "inittrace=1");
            let running = Running::start(command);
            thread::sleep(Duration::from_millis(4 * stop));
            running.signal(libc::SIGSTOP);
            let attached = running.attach_until(|attached| attached.one("startup_status")["stopped"] == true);
            let over = inittrace(&running.stderr());
            let status = attached.one("startup_status");
            if status["state"] == "in_init" {
                in_init += 1;
                let done = usize::try_from(number(&status["inits_done"])).unwrap();
                let is_said = |count: usize| count == done || count == done + 1;
                assert!(is_said(over.len()), "{}: {} lines, {status}", fixture.name, over.len());
                assert_eq!(status["stuck"], false, "{status}");
                running.signal(libc::SIGCONT);
                let begin = Instant::now();
                let next = loop {
                    if let Some(next) = inittrace(&running.stderr()).get(done).cloned() {
                        break next;
                    }
                    assert!(begin.elapsed() < Duration::from_secs(60), "{}: Go stays silent", fixture.name);
                    thread::sleep(Duration::from_millis(5));
                };
                assert_eq!(status["package"], next.package, "{}: {status}", fixture.name);
            }
        }
    }
    assert!(in_init > 0, "no program was stopped in its inits");
    eprintln!("{in_init} times in the middle of an init");
}
