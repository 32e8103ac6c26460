//! The program runs as it would without gotrace, and nothing stays behind.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::number;
use crate::support::{fixture, gotrace, mind_interrupts, nethttp, parse, text, trace};

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_program_runs_as_it_would_without_gotrace() {
    let fixture = fixture("echo");
    let run = |mut command: Command| {
        command.args(["one", "two words", ""]).env("GOTRACE_TEST", "a value").current_dir("/");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"some input").unwrap();
        child.wait_with_output().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut plain = Command::new(&fixture.path);
    mind_interrupts(&mut plain);
    let plain = run(plain);
    let mut under = gotrace();
    under.args(["run", "-q", "-o"]).arg(folder.path().join("report.ndjson")).arg("--").arg(&fixture.path);
    let under = run(under);
    assert_eq!(under.status.code(), plain.status.code());
    assert_eq!(String::from_utf8_lossy(&under.stderr), String::from_utf8_lossy(&plain.stderr));
    let said = |stdout: &[u8]| {
        let mut said: Value = serde_json::from_slice(stdout).expect("echo prints JSON");
        // The standard streams are pipes of their own for each run; which pipes is no difference.
        for stream in ["0", "1", "2"] {
            let kind = text(&said["fds"][stream]);
            said["fds"][stream] = Value::from(kind.split(':').next());
        }
        said
    };
    let (under, plain) = (said(&under.stdout), said(&plain.stdout));
    for (key, value) in plain.as_object().unwrap() {
        assert_eq!(&under[key], value, "{key}");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn under_sudo_the_program_and_the_report_are_the_users() {
    use std::os::unix::fs::MetadataExt as _;
    let fixture = fixture("echo");
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.ndjson");
    // The user must be able to reach the program, wherever the fixtures are kept.
    let program = folder.path().join("echo");
    std::fs::copy(&fixture.path, &program).unwrap();
    Command::new("chmod").args(["-R", "a+rx"]).arg(folder.path()).status().unwrap();
    let mut command = gotrace();
    command.args(["run", "-q", "-o"]).arg(&report).arg("--").arg(&program);
    command.env("SUDO_UID", "65534").env("SUDO_GID", "65534").env("SUDO_USER", "nobody");
    let output = command.output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(said["status"]["Uid"], "65534\t65534\t65534\t65534");
    assert_eq!(said["status"]["Gid"], "65534\t65534\t65534\t65534");
    assert_eq!(said["status"]["CapEff"], "0000000000000000");
    let environment = said["env"].as_array().unwrap();
    assert!(environment.contains(&Value::from("USER=nobody")), "{environment:?}");
    assert_eq!(std::fs::metadata(&report).unwrap().uid(), 65534);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_exit_code_is_the_programs_own() {
    let fixture = nethttp();
    let traced = trace(&fixture, &[], &["-exit", "7"]);
    assert_eq!(traced.output.status.code(), Some(7));
    assert_eq!((&traced.summary()["ended"], &traced.summary()["exit_code"]), (&"exited".into(), &7.into()));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn tracing_until_main_lets_the_program_go_on() {
    let fixture = nethttp();
    let traced = trace(&fixture, &["--until", "main"], &["-sleep", "300ms", "-exit", "9"]);
    assert_eq!(traced.output.status.code(), Some(9));
    assert_eq!(traced.summary()["ended"], "running");
    let main = *traced.all("phase").last().unwrap();
    assert_eq!((&main["name"], &main["done"]), (&"main".into(), &false.into()));
    assert!(number(&main["duration_ns"]) < 300_000_000);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_first_interrupt_ends_the_run_with_its_report() {
    let fixture = nethttp();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.ndjson");
    let mut command = gotrace();
    command.args(["run", "-q", "-o"]).arg(&report).arg("--").arg(&fixture.path).args(["-sleep", "60s"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // The program has printed its line: it is in main.
    let mut first = [0; 1];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    let begun = Instant::now();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(status.code(), Some(130));
    let lines = parse(&std::fs::read_to_string(&report).unwrap());
    let summary = lines.last().unwrap();
    assert_eq!((&summary["ended"], &summary["signal"]), (&"killed".into(), &2.into()), "{summary}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn nothing_of_gotrace_is_left_in_the_kernel() {
    let fixture = nethttp();
    trace(&fixture, &[], &fixture.args);
    let names = |kind: &str| {
        let mut found = Vec::new();
        for program in aya::programs::loaded_programs().flatten() {
            if program.name_as_str().is_some_and(|name| name.starts_with(kind)) {
                found.push(program.id());
            }
        }
        found
    };
    // Programs go when their last link does, which the kernel may finish a moment later.
    let patience = Instant::now() + Duration::from_secs(10);
    let left = || ["startup", "process_exec", "process_exit"].iter().flat_map(|kind| names(kind)).count();
    while left() > 0 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(left(), 0);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn another_process_of_the_same_program_is_not_mixed_in() {
    let fixture = nethttp();
    let mut bystander =
        Command::new(&fixture.path).args(["-sleep", "20s"]).stdout(Stdio::null()).spawn().unwrap();
    let alone = Command::new("sh")
        .arg("-c")
        .arg("for i in 1 2 3 4 5 6 7 8; do \"$0\" >/dev/null; done")
        .arg(&fixture.path)
        .spawn();
    let traced = trace(&fixture, &[], &fixture.args);
    alone.unwrap().wait().unwrap();
    assert!(bystander.try_wait().unwrap().is_none(), "the bystander lives");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    traced.assert_complete(&fixture.name);
    let mains = traced.all("loss").into_iter().find(|loss| text(&loss["probe"]) == "main_main").unwrap();
    assert_eq!(mains["hits"], 1);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_second_interrupt_ends_gotrace_at_once_and_spares_the_program() {
    let fixture = nethttp();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.ndjson");
    // A program that is started with SIGINT ignored goes on ignoring it.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' INT; exec \"$@\"", "sh"]).arg(gotrace().get_program());
    command.args(["run", "-q", "-o"]).arg(&report).arg("--").arg(&fixture.path).args(["-sleep", "60s"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 1];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    let interrupt = || Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    interrupt();
    let patience = Instant::now() + Duration::from_secs(30);
    while !report.exists() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    let lines = parse(&std::fs::read_to_string(&report).unwrap());
    assert_eq!(lines.last().unwrap()["ended"], "running");
    interrupt();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let program = number(&lines[0]["pid"]).to_string();
    assert!(Command::new("kill").args(["-KILL", &program]).status().unwrap().success(), "the program lives");
}
