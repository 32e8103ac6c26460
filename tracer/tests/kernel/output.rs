//! What the user sees: formats, losses, messages.

use std::process::{Command, Stdio};

use crate::number;
use crate::support::{Traced, fixture, fixtures, gotrace, nethttp, parse, trace};

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
    let output = gotrace().args(["run", "-q", "--top", "0", "--"]).arg(&fixture.path).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    for part in ["main.main unix_ns=", "runtime bootstrap", "package init", "net/http", "0 lost", "init 0/"] {
        assert!(stdout.contains(part), "{part} is not in:\n{stdout}");
    }
    assert!(!stdout.contains('\u{1b}'), "no colours where no terminal reads");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_start_is_drawn_with_all_of_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (chart, stacks, lines) = (file("start.svg"), file("start.folded"), file("start.ndjson"));
    let mut command = gotrace();
    command.arg("run");
    for path in [&chart, &stacks, &lines] {
        command.arg("-o").arg(path);
    }
    let output = command.arg("--").arg(nethttp().path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |path| std::fs::read_to_string(path).unwrap();
    let drawn = read(&chart);
    assert!(drawn.contains("<svg") && drawn.contains("<title>package_init ("), "{drawn}");
    let weight = |line: &str| number(&line.rsplit(' ').next().unwrap().parse().unwrap());
    let whole: u64 = read(&stacks).lines().map(weight).sum();
    let report = parse(&read(&lines));
    assert_eq!(whole, number(&report.last().unwrap()["to_main_ns"]));
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_c_program_with_a_go_library_is_refused_by_name() {
    let program = fixture("cshared").path;
    let output = gotrace().args(["run", "--"]).arg(&program).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("not a Go program") && stderr.contains(program.to_str().unwrap()), "{stderr}");
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
    assert!(silent < speaking, "{silent} bytes of machine code silent, {speaking} speaking");
}
