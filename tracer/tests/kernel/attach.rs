//! `gotrace attach`: programs that are stuck in a known place, and others whose inits are over.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::number;
use crate::support::{Fixture, fixtures, fixtures_of, gotrace, inittrace, parse, text};

/// Where the fixture is stuck, and at which line.
const GATE: &str = include_str!("../fixtures/go/stuckininit/gate/gate.go");

/// A program that runs, and does not outlive the test.
struct Running {
    child: Child,
    folder: tempfile::TempDir,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stderr = fs::File::create(folder.path().join("stderr")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Self { child, folder }
    }

    fn stuck(fixture: &Fixture, way: &str, on: &str) -> Self {
        let mut command = Command::new(&fixture.path);
        command.env("STUCK_IN", way).env("STUCK_ON", on).env("GODEBUG", "inittrace=1");
        Self::start(command)
    }

    fn stderr(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("stderr")).unwrap()
    }

    /// Attaches until the report says what is waited for: the program needs its time to get there.
    fn attach_until(&self, ready: impl Fn(&Attached) -> bool) -> Attached {
        let begin = Instant::now();
        loop {
            let attached = attach(self.child.id());
            if ready(&attached) || begin.elapsed() > Duration::from_secs(60) {
                return attached;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What `gotrace attach --json` said.
struct Attached {
    lines: Vec<Value>,
}

impl Attached {
    fn one(&self, kind: &str) -> &Value {
        let found = self.lines.iter().find(|line| line["type"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} line in {:?}", self.lines))
    }

    fn is_stuck(&self) -> bool {
        self.one("startup_status")["stuck"] == true
    }
}

fn attach_command(who: &str) -> Output {
    gotrace().args(["attach", "--json", who]).output().unwrap()
}

fn attach(pid: u32) -> Attached {
    let output = attach_command(&pid.to_string());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    Attached { lines: parse(std::str::from_utf8(&output.stdout).unwrap()) }
}

fn inits_of(fixture: &Fixture) -> u64 {
    let output = gotrace().args(["inspect", "--json"]).arg(&fixture.path).output().unwrap();
    let inspected: Value = serde_json::from_slice(&output.stdout).unwrap();
    u64::try_from(inspected["inits"].as_array().unwrap().len()).unwrap()
}

/// The line of the fixture's source that has that text.
fn line_of(part: &str) -> usize {
    let mut found = GATE.lines().enumerate().filter(|(_, line)| line.contains(part));
    let (index, _) = found.next().unwrap_or_else(|| panic!("{part} is not in gate.go"));
    assert!(found.next().is_none(), "{part} is in gate.go more than once");
    index + 1
}

/// Connections to it stay half made: its queue is full.
struct BlackHole {
    at: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        use std::os::fd::AsRawFd as _;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // SAFETY: the socket is open; listening again only changes the length of its queue.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let at = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
            queued.push(stream);
            assert!(queued.len() < 16, "the queue of {at} does not fill");
        }
        Self { at, _listener: listener, _queued: queued }
    }
}

fn fifo(folder: &Path) -> PathBuf {
    let path = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
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
    let (hole, silent) = (hole.at.to_string(), silent.local_addr().unwrap().to_string());
    let fifo = fifo.to_str().unwrap().to_owned();
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
            assert_eq!(what, way.what, "{name}: {blocked}");
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
        println!("{}: {inits} inits, and every way to be stuck", fixture.name);
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
    println!("told {told:?}, stuck since at least {:?}; by {}", begin - stuck, blocked["evidence"]);
}

/// Programs of others, in their main: each waits for a configuration that never comes.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn real_programs_whose_inits_are_over_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = fifo(folder.path());
    let fifo = fifo.to_str().unwrap();
    let mut seen = Vec::new();
    for fixture in fixtures() {
        let arguments: &[&str] = match fixture.program.as_str() {
            "caddy" => &["adapt", "--adapter", "caddyfile", "--config", fifo],
            "prometheus" => &["--config.file", fifo],
            "dockerd" => &["--validate", "--config-file", fifo],
            "restic" => &["snapshots", "--password-file", fifo, "--repo", "/nowhere"],
            "hugo" => &["config", "--config", fifo],
            "stuckininit" => &[],
            _ => continue,
        };
        let mut command = Command::new(&fixture.path);
        command.args(arguments).envs(&fixture.env).env("HOME", folder.path()).env("STUCK_IN", "main");
        let running = Running::start(command);
        let over = |attached: &Attached| {
            attached.one("startup_status")["in_main"] == true
                && attached.one("blocked_now")["for_ns"].is_u64()
        };
        let attached = running.attach_until(over);
        let (status, blocked) = (attached.one("startup_status"), attached.one("blocked_now"));
        assert_eq!(status["state"], "init_over", "{}: {status} {blocked}", fixture.name);
        assert_eq!(
            (&status["in_main"], &status["package"]),
            (&true.into(), &Value::Null),
            "{}",
            fixture.name
        );
        let inits = inits_of(&fixture);
        assert_eq!(
            (number(&status["inits"]), number(&status["inits_done"])),
            (inits, inits),
            "{}",
            fixture.name
        );
        assert_eq!(blocked["stack_whole"], true, "{}: {blocked}", fixture.name);
        let waits_for_it = blocked["object"].as_str().is_some_and(|object| object.contains(fifo));
        assert!(waits_for_it || fixture.program == "stuckininit", "{}: {blocked}", fixture.name);
        seen.push(fixture.program);
    }
    println!("{seen:?}");
}

/// Nobody stops the program or traces it while gotrace looks, and its memory stays as it is.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_program_is_not_stopped() {
    let fixture = fixtures_of("stuckininit").pop().unwrap();
    let running = Running::stuck(&fixture, "spin", "");
    let status = PathBuf::from(format!("/proc/{}/status", running.child.id()));
    let end = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0_u64;
            while !end.load(Ordering::Relaxed) {
                let status = fs::read_to_string(&status).unwrap();
                assert!(status.contains("TracerPid:\t0\n"), "{status}");
                assert!(!status.contains("(stopped)") && !status.contains("(tracing stop)"), "{status}");
                looks += 1;
            }
            looks
        });
        for _ in 0..20 {
            attach(running.child.id());
        }
        end.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    println!("{looks} looks at it during 20 of gotrace's");
}

fn refused(who: &str, code: i32, part: &str) {
    let output = attach_command(who);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{who}: {stderr}");
    assert!(stderr.contains(part), "{who}: {part:?} is not in {stderr}");
    assert!(output.stdout.is_empty(), "{who}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_cannot_be_attached_to_is_refused_by_name() {
    refused("4194305", 4, "there is no process 4194305");
    refused("no-such-program", 4, "no process is named no-such-program");
    if Path::new("/proc/2/exe").exists()
        || fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm == "kthreadd\n")
    {
        refused("2", 4, "thread of the kernel (kthreadd)");
    }
    let mut command = Command::new("sleep");
    command.arg("60");
    let foreign = Running::start(command);
    refused(&foreign.child.id().to_string(), 4, "is not a Go program");

    let mut zombie = Command::new("true").spawn().unwrap();
    let stat = format!("/proc/{}/stat", zombie.id());
    while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
        thread::yield_now();
    }
    refused(&zombie.id().to_string(), 4, "has ended");
    zombie.wait().unwrap();
    refused(&zombie.id().to_string(), 4, "there is no process");

    let fixture = fixtures_of("stuckininit").pop().unwrap();
    let running = Running::stuck(&fixture, "chan", "");
    running.attach_until(Attached::is_stuck);
    let pid = running.child.id();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let tids = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    let thread = tids.into_iter().find(|tid| *tid != pid.to_string()).expect("Go has more than one thread");
    refused(&thread, 4, &format!("{thread} is a thread of process {pid}"));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn it_takes_the_right_to_look() {
    let fixture = fixtures_of("stuckininit").pop().unwrap();
    let running = Running::stuck(&fixture, "sleep", "");
    let tool = running.folder.path().join("gotrace");
    fs::copy(gotrace().get_program(), &tool).unwrap();
    Command::new("chmod").args(["-R", "a+rx"]).arg(running.folder.path()).status().unwrap();
    let mut command = Command::new(&tool);
    let output =
        command.args(["attach", &running.child.id().to_string()]).uid(65534).gid(65534).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("may not be looked into") && stderr.contains("sudo"), "{stderr}");
}

/// Its path names nothing here, its process and its threads have other numbers there.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_in_namespaces_of_its_own_or_deleted_is_the_same_to_us() {
    let fixture = fixtures_of("stuckininit").pop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in a container");
    fs::copy(&fixture.path, &path).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--net", "--fork", "--kill-child", "sh", "-c"]);
    command.args(["mount -t tmpfs none /mnt; cp \"$0\" /mnt/inside; exec /mnt/inside"]).arg(&path);
    command.env("STUCK_IN", "chan");
    let outer = Running::start(command);
    fs::remove_file(&path).ok();
    // By its name: the number that it has here is known to nobody else.
    let begin = Instant::now();
    let attached = loop {
        let output = attach_command("inside");
        if output.status.success() {
            let attached = Attached { lines: parse(std::str::from_utf8(&output.stdout).unwrap()) };
            if attached.is_stuck() {
                break attached;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{}", String::from_utf8_lossy(&output.stderr));
        thread::sleep(Duration::from_millis(50));
    };
    let blocked = attached.one("blocked_now");
    assert_eq!(blocked["tid"], attached.one("header")["pid"], "{blocked}");
    assert_eq!(blocked["wait_reason"], "chan receive");
    drop(outer);

    fs::copy(&fixture.path, &path).unwrap();
    let mut command = Command::new(&path);
    command.env("STUCK_IN", "chan");
    let running = Running::start(command);
    fs::remove_file(&path).unwrap();
    let attached = running.attach_until(Attached::is_stuck);
    assert_eq!(attached.one("startup_status")["package"], "example.com/stuckininit/gate");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn text_says_it_in_a_few_lines() {
    let fixture = fixtures_of("stuckininit").pop().unwrap();
    let running = Running::stuck(&fixture, "sleep", "");
    running.attach_until(Attached::is_stuck);
    let output = gotrace().args(["attach", &running.child.id().to_string()]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    for part in
        ["stuck in init for at least", "example.com/stuckininit/gate", "goroutine 1 waits: sleep", "gate.go:"]
    {
        assert!(stdout.contains(part), "{part} is not in:\n{stdout}");
    }
}
