//! With exactly the capabilities that the documentation names gotrace works, and it names each that is missing: as
//! root without its other rights, as in a container, and as a user who has nothing else.

mod restricted;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::restricted::restrict;
use crate::support::{gotrace, nethttp, parse};

/// Their numbers in include/uapi/linux/capability.h.
const DAC_READ_SEARCH: u32 = 2;
const SYS_PTRACE: u32 = 19;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;
const FOUR: [(&str, u32); 4] =
    [("BPF", BPF), ("PERFMON", PERFMON), ("SYS_PTRACE", SYS_PTRACE), ("DAC_READ_SEARCH", DAC_READ_SEARCH)];

/// Who runs gotrace: root, and a user whom nothing belongs to.
const USERS: [u32; 2] = [0, 65534];

/// The user whose program it is, and that nobody else may read.
const OWNER: u32 = 1234;

/// A folder that everybody comes by, with gotrace and another user's program.
struct Place {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        mode(folder.path(), 0o755);
        let tool = folder.path().join("gotrace");
        fs::copy(gotrace().get_program(), &tool).expect("a copy");
        mode(&tool, 0o755);
        let its = folder.path().join("its");
        fs::create_dir(&its).expect("a folder");
        let program = its.join("program");
        fs::copy(nethttp().path, &program).expect("a copy");
        for path in [&program, &its] {
            mode(path, 0o700);
            std::os::unix::fs::chown(path, Some(OWNER), Some(OWNER)).expect("root may");
        }
        Self { folder, program }
    }

    /// gotrace, by that user and with no other capabilities.
    fn gotrace(&self, user: u32, capabilities: &[u32], args: &[&str]) -> Command {
        let mut command = Command::new(self.folder.path().join("gotrace"));
        command.args(args).current_dir("/").env_remove("SUDO_UID").env("TMPDIR", "/tmp");
        restrict(&mut command, user, capabilities);
        command
    }

    /// The program, running as its owner.
    fn start(&self) -> Running {
        let mut command = Command::new(&self.program);
        command.args(["-sleep", "60s"]).uid(OWNER).gid(OWNER).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut [0]).expect("it speaks");
        Running(child)
    }
}

/// A program that does not outlive the test.
struct Running(Child);

impl Running {
    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it has ended");
    }
}

/// What this kernel takes: before 6.6 probes on instructions go through perf events.
fn all() -> Vec<u32> {
    let mut all: Vec<u32> = FOUR.iter().map(|(_, bit)| *bit).collect();
    if !has_links() {
        all.push(SYS_ADMIN);
    }
    all
}

fn has_links() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("its release");
    let mut numbers = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    [numbers.next(), numbers.next()] >= [Some(6), Some(6)]
}

/// Whether CAP_PERFMON is not enough for samples here: a level of Debian's and Ubuntu's own.
fn is_paranoid() -> bool {
    let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").expect("its level");
    level.trim().parse::<i32>().expect("a number") > 2
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn with_exactly_these_a_running_program_of_another_user_is_followed() {
    let place = Place::new();
    let running = place.start();
    for user in USERS {
        // Samples too, where this kernel gives them for these.
        let flame = if is_paranoid() { "blocked" } else { "cpu" };
        let args = ["attach", "--json", "--duration", "300ms", "--waits", "--flame", flame, &running.pid()];
        let output = place.gotrace(user, &all(), &args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "user {user}: {}", said(&output));
        let lines = parse(std::str::from_utf8(&output.stdout).unwrap());
        let summary = lines.last().unwrap();
        assert_eq!((&summary["type"], &summary["ended"]), (&"summary".into(), &"running".into()));
        let collector = lines.iter().find(|line| line["type"] == "gc_summary").unwrap();
        assert_eq!(collector["refused"], Value::Null, "{collector}");
        // Its memory was read, which is what tells where it waits.
        assert!(
            lines.iter().any(|line| line["type"] == "goroutine" || line["type"] == "blocked_now"),
            "{lines:?}"
        );
        // The kernel's own tracepoints alone take no more on any kernel.
        let four: Vec<u32> = FOUR.iter().map(|(_, bit)| *bit).collect();
        let args = ["attach", "--json", "--no-gc", "--duration", "300ms", &running.pid()];
        let output = place.gotrace(user, &four, &args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "user {user}: {}", said(&output));
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn with_exactly_these_the_starts_of_another_users_program_are_told() {
    let place = Place::new();
    for user in USERS {
        let args = ["watch", "--json", "--count", "1", place.program.to_str().unwrap()];
        let mut command = place.gotrace(user, &all(), &args);
        let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = Vec::new();
        while !first.ends_with(b"\n") {
            let mut byte = [0];
            let read = std::io::Read::read(watch.stderr.as_mut().unwrap(), &mut byte).unwrap();
            assert_eq!(read, 1, "user {user}: {}", String::from_utf8_lossy(&first));
            first.extend(byte);
        }
        drop(place.start());
        let output = watch.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "user {user}: {}", said(&output));
        let lines = parse(std::str::from_utf8(&output.stdout).unwrap());
        let inits = lines.iter().filter(|line| line["type"] == "init").count();
        assert!(inits > 50, "{inits} inits");
        assert_eq!(lines.last().unwrap()["complete"], true);
    }
}

/// The agent gives what it has to the gotrace that it starts, as root and as a user who has nothing else.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn with_exactly_these_the_agent_serves_profiles() {
    let place = Place::new();
    let running = place.start();
    let select = format!("exe={}", place.program.display());
    for user in USERS {
        let args = ["node", "run", "--listen", "127.0.0.1:0", "--pprof", "--select", &select];
        let mut agent = Running(place.gotrace(user, &all(), &args).stderr(Stdio::piped()).spawn().unwrap());
        let mut first = String::new();
        let mut said = BufReader::new(agent.0.stderr.take().unwrap());
        said.read_line(&mut first).unwrap();
        let (_, rest) = first.split_once("http://").expect("its address");
        let address = rest.split('/').next().unwrap();
        let path = format!("/pids/{}/debug/pprof/block?seconds=1", running.pid());
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            if answer.starts_with(b"HTTP/1.1 200 ") {
                break;
            }
            // It is not in the table yet.
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 404 ") && Instant::now() < until, "user {user}: {answer}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// What root may do and gotrace has no use for is given up before anything is read of a program.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn root_keeps_only_what_is_needed() {
    const DAC_OVERRIDE: u32 = 1;
    const CHOWN: u32 = 0;
    let place = Place::new();
    let running = place.start();
    let report = place.folder.path().join("report.txt");
    let with_report = ["attach", "-o", report.to_str().unwrap(), &running.pid()];
    let program = format!("exe={}", place.program.display());
    // Debian's kernels have a level at which CAP_PERFMON is not enough to sample.
    let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
    let sampling = (level.trim().parse::<i32>().unwrap() > 2).then_some(SYS_ADMIN);
    let with_file: Vec<u32> = sampling.into_iter().chain([DAC_OVERRIDE, CHOWN]).collect();
    let cases: [(&[&str], &[u32]); 5] = [
        (&["attach", &running.pid()], sampling.as_slice()),
        (&["attach", "--frequency", "0", &running.pid()], &[]),
        (&with_report, &with_file),
        (&["watch", place.program.to_str().unwrap()], &[]),
        (&["node", "run", "--listen", "127.0.0.1:0", "--select", &program], &[]),
    ];
    for (args, more) in cases {
        let mut command = gotrace();
        let child = command.args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut child = Running(child);
        // It has said its first word when it is at work.
        std::io::Read::read_exact(child.0.stderr.as_mut().unwrap(), &mut [0]).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
        let kept = all().iter().chain(more).fold(0_u64, |set, bit| set | 1 << bit);
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert!(
                status.contains(&format!("{set}:\t{kept:016x}")),
                "{args:?}: {set} {kept:016x}: {status}"
            );
        }
        assert!(status.contains("CapInh:\t0000000000000000"), "{args:?}: {status}");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn each_one_that_is_missing_is_named_with_what_to_do() {
    let place = Place::new();
    let running = place.start();
    for user in USERS {
        for (name, bit) in FOUR {
            let fewer: Vec<u32> =
                all().into_iter().filter(|other| ![bit, SYS_ADMIN].contains(other)).collect();
            let fix =
                if user == 0 { format!("capabilities.add: [{name}]") } else { "sudo gotrace".to_owned() };
            let missed = |text: &str| {
                let line = text.lines().find(|line| line.contains(&format!("CAP_{name}")));
                line.is_some_and(|line| line.contains("missing")) && text.contains(&fix)
            };

            let output =
                place.gotrace(user, &fewer, &["attach", "--no-gc", &running.pid()]).output().unwrap();
            assert_eq!(output.status.code(), Some(3), "{name}: {}", said(&output));
            assert!(missed(&said(&output)), "user {user}, {name}: {}", said(&output));
            for (other, _) in FOUR.iter().filter(|(other, _)| *other != name) {
                assert!(!said(&output).contains(other), "{name}, not {other}: {}", said(&output));
            }

            let output = place.gotrace(user, &fewer, &["doctor"]).output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(missed(&told), "user {user}, {name}: {told}");
            let unfit = [BPF, PERFMON].contains(&bit);
            assert_eq!(output.status.code(), Some(if unfit { 3 } else { 0 }), "{name}: {told}");
        }
    }
}

/// The condition in `perf_uprobe_event_init`, as this kernel has it: with the four, a kernel that takes probes one at a
/// time refuses them, and gotrace says for want of what; or it is older than the condition, and they work.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn where_the_kernel_asks_for_more_that_is_named() {
    let place = Place::new();
    let running = place.start();
    let four: Vec<u32> = FOUR.iter().map(|(_, bit)| *bit).collect();
    let args = ["attach", "--duration", "200ms", &running.pid()];
    let output = place.gotrace(0, &four, &args).output().unwrap();
    if output.status.success() {
        assert!(has_links() || !said(&output).contains("SYS_ADMIN"));
    } else {
        assert!(!has_links(), "{}", said(&output));
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(said(&output).contains("CAP_SYS_ADMIN missing"), "{}", said(&output));
    }
    let doctor = place.gotrace(0, &four, &["doctor"]).output().unwrap();
    let told = String::from_utf8_lossy(&doctor.stdout);
    assert_eq!(told.contains("CAP_SYS_ADMIN"), !has_links(), "{told}");
}
