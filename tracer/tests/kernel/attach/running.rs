//! Programs whose inits are over, programs that are not to be looked at, and that nothing happens to any.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Attached, Running, attach, attach_command, fifo, inits_of};
use crate::number;
use crate::support::{Fixture, fixtures, fixtures_of, gotrace, parse};

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
            "dockerd" => &["--config-file", fifo],
            "restic" => &["snapshots", "--password-file", fifo, "--repo", "/nowhere"],
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
    eprintln!("{seen:?}");
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
    eprintln!("{looks} looks at it during 20 of gotrace's");
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
    refused("/no/such/program", 4, "no process runs /no/such/program");
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
    let folder = tempfile::tempdir().unwrap();
    let twin = folder.path().join("gotrace-twin");
    fs::copy(&fixture.path, &twin).unwrap();
    let twins =
        [(); 2].map(|()| Running::stuck(&Fixture { path: twin.clone(), ..fixture.clone() }, "chan", ""));
    refused("gotrace-twin", 4, "2 processes are named gotrace-twin");
    drop(twins);

    let running = Running::stuck(&fixture, "chan", "");
    running.attach_until(Attached::is_stuck);
    let pid = running.child.id();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let tids = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    let thread = tids.into_iter().find(|tid| *tid != pid.to_string()).expect("Go has more than one thread");
    refused(&thread, 4, &format!("{thread} is a thread of process {pid}"));
}

/// A debugger has it, and its binary was replaced: both are told, and nothing is in the way.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn what_one_should_know_of_a_process_is_told() {
    let fixture = fixtures_of("stuckininit").pop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replaced");
    fs::copy(&fixture.path, &path).unwrap();
    let running = Running::stuck(&Fixture { path: path.clone(), ..fixture.clone() }, "chan", "");
    running.attach_until(Attached::is_stuck);
    let pid = running.child.id();
    let other = folder.path().join("other");
    fs::write(&other, "#!/bin/false\n").unwrap();
    fs::rename(&other, &path).unwrap();
    // SAFETY: the child is ours; PTRACE_SEIZE does not stop it, and this thread's end lets it go.
    let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid.cast_signed(), 0, 0) };
    assert_eq!(seized, 0);
    // By its path, which names something else by now.
    let output = attach_command(path.to_str().unwrap());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("is being traced by another program"), "{stderr}");
    assert!(stderr.contains("deleted or replaced"), "{stderr}");
    let attached = Attached { lines: parse(std::str::from_utf8(&output.stdout).unwrap()) };
    assert_eq!(attached.one("header")["pid"], pid);
    assert!(attached.is_stuck());
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
    let output = command
        .args(["attach", "--now", &running.child.id().to_string()])
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
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
    let output = gotrace().args(["attach", "--now", &running.child.id().to_string()]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    for part in
        ["stuck in init for at least", "example.com/stuckininit/gate", "goroutine 1 waits: sleep", "gate.go:"]
    {
        assert!(stdout.contains(part), "{part} is not in:\n{stdout}");
    }
}
