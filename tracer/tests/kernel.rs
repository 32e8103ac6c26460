//! gotrace against the running kernel and real Go programs, compared with what Go itself says of them.
//!
//! These need root, BPF and the fixtures: `cargo xtask test` runs them here and in virtual machines.

mod support;

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Fixture, Traced, fixture, fixtures, gotrace, inittrace, nethttp, parse, text, trace};

const WHOLE: [&str; 6] =
    ["exec", "dynamic_link", "runtime_bootstrap", "runtime_init", "package_init", "main"];

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Runs a fixture with its own arguments and with Go's own account of its inits.
fn trace_beside_inittrace(fixture: &Fixture) -> Traced {
    let mut with_oracle = fixture.clone();
    with_oracle.env.insert("GODEBUG".to_owned(), "inittrace=1".to_owned());
    trace(&with_oracle, &[], &fixture.args)
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_programs_inits_are_the_ones_that_go_itself_names_in_order() {
    let odd = ["exitininit", "killininit", "execininit"];
    for fixture in fixtures().iter().filter(|fixture| !odd.contains(&fixture.program.as_str())) {
        let traced = trace_beside_inittrace(fixture);
        let oracle: Vec<String> =
            inittrace(&traced.output.stderr).into_iter().map(|init| init.package).collect();
        assert!(!oracle.is_empty(), "{}: Go names no init", fixture.name);
        assert_eq!(traced.packages(), oracle, "{}", fixture.name);
        traced.assert_complete(&fixture.name);
        assert_eq!(traced.phases(), WHOLE, "{}", fixture.name);
        assert_eq!(traced.output.status.code(), Some(0), "{}", fixture.name);
        println!("{}: {} inits, as Go names them", fixture.name, oracle.len());
    }
}

/// Runs without the oracle agree with runs that have it: the packages do not depend on GODEBUG.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_same_inits_are_seen_without_the_oracle() {
    let fixture = nethttp();
    assert_eq!(trace(&fixture, &[], &fixture.args).packages(), trace_beside_inittrace(&fixture).packages());
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_time_of_slow_inits_is_what_go_itself_measures() {
    const RUNS: usize = 5;
    let fixture = fixture("initsleep");
    let mut ratios: std::collections::BTreeMap<String, Vec<f64>> = std::collections::BTreeMap::new();
    for _ in 0..RUNS {
        let traced = trace_beside_inittrace(&fixture);
        let ours = traced.all("init");
        for (ours, oracle) in ours.iter().zip(inittrace(&traced.output.stderr)) {
            assert_eq!(ours["package"], oracle.package);
            if oracle.milliseconds >= 1.0 {
                #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
                let milliseconds = number(&ours["wall_ns"]) as f64 / 1e6;
                ratios.entry(oracle.package).or_default().push(milliseconds / oracle.milliseconds);
            }
        }
    }
    assert!(ratios.len() >= 3, "initsleep has three slow packages: {ratios:?}");
    for (package, mut ratios) in ratios {
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        assert!((0.9..=1.1).contains(&median), "{package}: {median} of inittrace's time, {ratios:?}");
        println!("{package}: {median:.4} of inittrace's time");
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_phases_follow_each_other_without_a_gap() {
    let fixture = nethttp();
    let traced = trace(&fixture, &[], &fixture.args);
    let header = &traced.lines[0];
    assert_eq!((&header["type"], &header["schema"]), (&Value::from("header"), &Value::from(1)));
    let phases = traced.all("phase");
    let mut at = number(&header["start_ns"]);
    for phase in &phases {
        assert_eq!(number(&phase["start_ns"]), at, "{phase}");
        at += number(&phase["duration_ns"]);
        assert_eq!(phase["done"], true, "{phase}");
    }
    let to_main = number(&traced.summary()["to_main_ns"]);
    let before_main: u64 = phases[..5].iter().map(|phase| number(&phase["duration_ns"])).sum();
    assert_eq!(to_main, before_main);
    let schedinit = &phases[2]["steps"][0];
    assert_eq!(schedinit["name"], "schedinit");
    assert!(number(&schedinit["duration_ns"]) < number(&phases[2]["duration_ns"]));

    // main.main is where the program itself says it is: it prints its wall clock there.
    let stdout = String::from_utf8(traced.output.stdout.clone()).unwrap();
    let said: u64 = stdout.trim().strip_prefix("main.main unix_ns=").expect("its own word").parse().unwrap();
    let ours = number(&header["wall_clock_unix_ns"]) + to_main;
    let apart = said.abs_diff(ours);
    assert!(apart < 50_000_000, "the program says {apart} ns apart from us");
}

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
    let plain = run(Command::new(&fixture.path));
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
fn a_program_that_exits_in_an_init_never_reached_main() {
    let traced = trace::<&str>(&fixture("exitininit"), &[], &[]);
    assert_eq!(traced.output.status.code(), Some(3));
    assert_eq!(traced.summary()["to_main_ns"], Value::Null);
    assert_eq!(traced.phases(), WHOLE[..5]);
    let inits = traced.all("init");
    assert_eq!(inits.last().unwrap()["done"], false);
    assert_eq!(traced.all("phase").last().unwrap()["done"], false);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_that_is_killed_says_by_what() {
    let traced = trace::<&str>(&fixture("killininit"), &[], &[]);
    assert_eq!(traced.output.status.code(), Some(128 + 9), "{:?}", traced.output.status.signal());
    let summary = traced.summary();
    assert_eq!((&summary["ended"], &summary["signal"]), (&"killed".into(), &9.into()));
    assert_eq!(summary["to_main_ns"], Value::Null);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_program_that_becomes_another_one_is_followed_up_to_there() {
    let traced = trace::<&str>(&fixture("execininit"), &[], &[]);
    assert_eq!(traced.output.status.code(), Some(0));
    let summary = traced.summary();
    assert_eq!(summary["ended"], "replaced", "{summary}");
    assert_eq!(summary["replaced_by"], "true");
    assert_eq!(summary["to_main_ns"], Value::Null);
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn json_on_standard_output_is_nothing_but_json() {
    let fixture = fixture("esbuild");
    let output =
        gotrace().args(["run", "--json", "--"]).arg(&fixture.path).arg("--version").output().unwrap();
    let lines = parse(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(lines.first().unwrap()["type"], "header");
    assert_eq!(lines.last().unwrap()["type"], "summary");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.lines().any(|line| line.split('.').count() == 3), "its version is in {stderr}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn text_shows_phases_inits_and_losses_also_when_there_are_none() {
    let fixture = nethttp();
    let output = gotrace().args(["run", "-q", "--"]).arg(&fixture.path).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    for part in ["main.main unix_ns=", "runtime bootstrap", "package init", "net/http", "0 lost", "init 0/"] {
        assert!(stdout.contains(part), "{part} is not in:\n{stdout}");
    }
    assert!(!stdout.contains('\u{1b}'), "no colours where no terminal reads");
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
fn a_full_ring_is_counted_exactly() {
    // A ring of 4 KiB holds a hundred records. dockerd, where it is at hand, makes a thousand in 50 ms.
    let large = fixtures().into_iter().find(|fixture| fixture.program == "dockerd");
    let overflows = large.is_some();
    let fixture = large.unwrap_or_else(nethttp);
    let traced = trace(&fixture, &["--ring-size", "4"], &fixture.args);
    let (mut hits, mut dropped) = (0, 0);
    for loss in traced.all("loss") {
        hits += number(&loss["hits"]);
        dropped += number(&loss["dropped"]);
    }
    let summary = traced.summary();
    assert_eq!(number(&summary["dropped"]), dropped);
    assert_eq!(number(&summary["events"]), hits - dropped);
    if dropped > 0 {
        assert_eq!(summary["complete"], false, "{summary}");
    }
    if overflows {
        assert!(dropped > 0, "{summary}");
        assert_eq!(traced.output.status.code(), Some(5), "incomplete beyond the threshold");
        // What is left out is known to the record: a run with room enough has just as many hits.
        let whole = trace(&fixture, &[], &fixture.args);
        let init_hits = |traced: &Traced| {
            let loss = traced.all("loss").into_iter().find(|loss| loss["probe"] == "init").cloned().unwrap();
            number(&loss["hits"])
        };
        assert_eq!(init_hits(&traced), init_hits(&whole));
    }
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

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn without_privileges_it_says_what_is_missing_and_what_to_do() {
    use std::os::unix::process::CommandExt as _;
    let fixture = nethttp();
    let folder = tempfile::tempdir().unwrap();
    // Where anybody may read them, wherever they are kept.
    let (program, tool) = (folder.path().join("program"), folder.path().join("gotrace"));
    std::fs::copy(&fixture.path, &program).unwrap();
    std::fs::copy(gotrace().get_program(), &tool).unwrap();
    Command::new("chmod").args(["-R", "a+rx"]).arg(folder.path()).status().unwrap();
    let output =
        Command::new(&tool).args(["run", "--"]).arg(&program).uid(65534).gid(65534).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    for part in ["CAP_BPF", "CAP_PERFMON", "sudo gotrace run"] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
    let inspected = Command::new(&tool).arg("inspect").arg(&program).uid(65534).gid(65534).output().unwrap();
    assert!(inspected.status.success(), "inspect needs no privileges");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_kernel_side_speaks_only_when_asked() {
    let fixture = nethttp();
    let stderr = |verbosity: &[&str]| {
        let mut command = gotrace();
        let output = command.args(verbosity).args(["run", "--"]).arg(&fixture.path).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(stderr(&["-vvv"]).contains("tracer_ebpf::probes::startup"));
    let quieter = stderr(&["-vv"]);
    assert!(!quieter.contains("tracer_ebpf::probes"), "{quieter}");
    assert!(quieter.contains("detached in"), "{quieter}");
}

/// The verifier drops what the log level rules out, so the programs in the kernel are shorter.
#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_kernel_sides_log_is_not_there_unless_asked_for() {
    let fixture = nethttp();
    let jited_size = |verbosity: &str| {
        let mut command = gotrace();
        command.args([verbosity, "run", "--"]).arg(&fixture.path).args(["-sleep", "2s"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = [0; 1];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        let programs = aya::programs::loaded_programs().flatten();
        let exec = programs.filter(|program| program.name_as_str() == Some("process_exec")).last();
        let size = exec.expect("the program is loaded").size_jitted();
        assert!(child.wait().unwrap().success());
        size
    };
    let (silent, speaking) = (jited_size("-v"), jited_size("-vvv"));
    assert!(silent < speaking / 2, "{silent} bytes of machine code silent, {speaking} speaking");
}
