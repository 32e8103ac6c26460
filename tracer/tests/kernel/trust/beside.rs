//! Beside others that look at the same program, and at programs that are fenced in.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Beside, PATIENCE, Server, changed};
use crate::number;
use crate::support::{gotrace, parse};

fn waits(server: &Server) -> Beside {
    let mut command = gotrace();
    command.args(["attach", "--json", "--waits", "--max-overhead", "10000", "--duration", "2s"]);
    command.arg(server.pid().to_string());
    Beside::start(command)
}

/// How often a goroutine was seen to be parked.
fn parked(gotrace: &mut Beside) -> u64 {
    let status = gotrace.ended().expect("it has ended");
    assert_eq!(status.code(), Some(0), "{}", gotrace.said("stderr"));
    let lines = parse(&gotrace.said("stdout"));
    let is_park = |line: &&Value| line["type"] == "loss" && line["probe"] == "park";
    number(&lines.iter().find(is_park).expect("the probe's account")["hits"])
}

/// Keeps it busy until all of them have ended.
fn serve_until_ended(server: &mut Server, others: &mut [&mut Beside]) {
    let begin = Instant::now();
    while others.iter_mut().any(|other| other.ended().is_none()) {
        assert!(begin.elapsed() < PATIENCE, "they do not end");
        server.assert_serves();
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn two_gotraces_follow_one_program() {
    let mut server = Server::start();
    let mut first = waits(&server);
    first.until(|first| first.said("stderr").contains("attached to"));
    let mut second = waits(&server);
    serve_until_ended(&mut server, &mut [&mut first, &mut second]);
    let (first, second) = (parked(&mut first), parked(&mut second));
    assert!(first > 0 && second > 0, "{first} and {second}");
    server.assert_untouched("at the end");
}

#[test]
#[ignore = "needs root, BPF, fixtures and bpftrace: cargo xtask test"]
fn bpftrace_counts_the_same_function_beside_gotrace() {
    let mut server = Server::start();
    let script =
        format!("uprobe:{}:\"runtime.gopark\" {{ @parked = count() }}", server.fixture.path.display());
    let mut bpftrace = Command::new("bpftrace");
    bpftrace.args(["-e", &script]);
    let mut peer = Beside::start(bpftrace);
    peer.until(|_| !changed(server.pid()).is_empty());
    assert_eq!(peer.ended(), None, "{}", peer.said("stderr"));
    let mut gotrace = waits(&server);
    serve_until_ended(&mut server, &mut [&mut gotrace]);
    assert!(parked(&mut gotrace) > 0);
    // A link goes with its last reference, which the kernel may drop a moment later.
    peer.until(|_| changed(server.pid()).len() == 1);
    assert_eq!(changed(server.pid()).len(), 1, "bpftrace's probe is there still");
    peer.signal(libc::SIGINT);
    peer.until(|_| false);
    let said = peer.said("stdout");
    let counted = said.lines().find_map(|line| line.strip_prefix("@parked: ")?.parse::<u64>().ok());
    assert!(counted.is_some_and(|counted| counted > 0), "{said}");
    server.assert_untouched("at the end");
}

/// `perf` takes samples of it by the clock, as gotrace does, and counts its system calls.
#[test]
#[ignore = "needs root, BPF, fixtures and perf: cargo xtask test"]
fn perf_samples_it_and_counts_its_calls_beside_gotrace() {
    let mut server = Server::start();
    let pid = server.pid().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("perf.data");
    let mut record = Command::new("perf");
    record.args(["record", "-e", "cpu-clock", "-F", "499", "-g", "-p", &pid, "-o"]).arg(&data);
    let mut record = Beside::start({
        record.args(["--", "sleep", "3"]);
        record
    });
    let mut count = Command::new("perf");
    count.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &pid, "--", "sleep", "3"]);
    let mut count = Beside::start(count);
    let mut attach = gotrace();
    attach.args(["attach", "--json", "--frequency", "499", "--duration", "2s", &pid]);
    let mut gotrace = Beside::start(attach);
    serve_until_ended(&mut server, &mut [&mut record, &mut count, &mut gotrace]);
    assert_eq!(gotrace.ended().and_then(|status| status.code()), Some(0), "{}", gotrace.said("stderr"));
    let ours = parse(&gotrace.said("stdout"));
    let summary = ours.last().expect("a summary");
    assert!(number(&summary["calls"]) > 0 && summary["dropped"] == 0, "{summary}");
    let samples: u64 =
        ours.iter().filter(|line| line["type"] == "on_cpu").map(|line| number(&line["count"])).sum();
    assert!(samples > 0, "gotrace has no samples");
    let counted = count.said("stderr");
    let theirs =
        counted.lines().find_map(|line| line.split_once(",,raw_syscalls:sys_enter")?.0.parse::<u64>().ok());
    assert!(theirs.is_some_and(|theirs| theirs > 0), "{counted}");
    let script =
        Command::new("perf").args(["script", "-F", "comm", "-i"]).arg(&data).output().expect("perf runs");
    assert!(!script.stdout.is_empty(), "perf has no samples: {}", String::from_utf8_lossy(&script.stderr));
    server.assert_untouched("at the end");
}

/// Delve stops the program at a breakpoint, lets it go on and leaves, while gotrace has its probes in it. Only in a
/// guest: a debugger stops processes.
#[test]
#[ignore = "needs root, BPF, fixtures and Delve: cargo xtask test"]
fn delve_stops_at_a_breakpoint_beside_gotrace() {
    if std::env::var_os("GOTRACE_VM").is_none() {
        eprintln!("skipped: programs are debugged in a guest only");
        return;
    }
    let mut server = Server::start();
    let pid = server.pid().to_string();
    let mut attach = gotrace();
    attach.args(["attach", "--json", "--waits", "--max-overhead", "10000", &pid]);
    let mut gotrace = Beside::start(attach);
    gotrace.until(|gotrace| gotrace.said("stderr").contains("Ctrl-C for the report"));
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("script");
    let commands = ["break net/http.(*conn).serve", "continue", "stack 1", "clearall", "exit"];
    std::fs::write(&script, commands.join("\n") + "\n").expect("a script");
    // It asks whether to kill the program.
    let mut delve = Command::new("sh");
    let attach =
        format!("echo n | dlv attach {pid} --check-go-version=false --allow-non-terminal-interactive");
    delve.args(["-c", &format!("{attach} --init {}", script.display())]).env("HOME", folder.path());
    let mut delve = Beside::start(delve);
    delve.until(|delve| delve.said("stdout").contains("Breakpoint 1 set"));
    // It is answered when Delve has let the program go on.
    serve_until_ended(&mut server, &mut [&mut delve]);
    let said = delve.said("stdout");
    assert!(said.contains("> net/http.(*conn).serve()"), "{said}{}", delve.said("stderr"));
    server.assert_serves();
    gotrace.signal(libc::SIGINT);
    gotrace.until(|_| false);
    assert!(parked(&mut gotrace) > 0);
    server.assert_untouched("at the end");
}

/// A filter that ends the process at the system calls of probes (uretprobe and uprobe), and at those with which others
/// look into a process.
fn fenced() -> std::io::Result<()> {
    const DENIED: [u32; 5] =
        [335, 336, libc::SYS_ptrace as u32, libc::SYS_process_vm_readv as u32, libc::SYS_bpf as u32];
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for (index, number) in (0_u8..).zip(DENIED) {
        let to_end = DENIED.len() as u8 - index;
        program.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, to_end, 0, number));
    }
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter outlives the call.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_in_a_seccomp_fence_is_followed() {
    let mut server = Server::start_as(|command| {
        // SAFETY: between fork and execve the closure allocates and makes one system call; the test has no lock of
        // the allocator's at that time, for the C library takes care of it.
        unsafe { command.pre_exec(fenced) };
    });
    let mut gotrace = waits(&server);
    serve_until_ended(&mut server, &mut [&mut gotrace]);
    assert!(parked(&mut gotrace) > 0);
    server.assert_untouched("at the end");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_of_another_users_is_followed_by_root_and_by_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let command = folder.path().join("gotrace");
    std::fs::copy(gotrace().get_program(), &command).expect("a copy");
    assert!(
        Command::new("chmod").args(["-R", "a+rx"]).arg(folder.path()).status().expect("chmod runs").success()
    );
    let mut server = Server::start_as(|command| {
        command.uid(65534).gid(65534);
    });
    let mut root = waits(&server);
    serve_until_ended(&mut server, &mut [&mut root]);
    assert!(parked(&mut root) > 0);
    let other = Command::new(&command)
        .args(["attach", "--now", &server.pid().to_string()])
        .uid(65533)
        .gid(65533)
        .output()
        .expect("gotrace runs");
    let said = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(3), "{said}");
    assert!(said.contains("may not be looked into"), "{said}");
}
