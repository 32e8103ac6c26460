//! Bad input and what gotrace says to it. Needs neither root nor BPF nor fixtures.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "cli/capture.rs"]
mod capture;
#[path = "support/image/mod.rs"]
mod image;
#[path = "support/transcript.rs"]
mod transcript;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use image::Image;

fn gotrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gotrace")).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn executable(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The first bytes of an ELF file of that class, for that machine.
fn elf(class: u8, machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
    bytes[16..18].copy_from_slice(&2_u16.to_le_bytes());
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[20..24].copy_from_slice(&1_u32.to_le_bytes());
    bytes[52..54].copy_from_slice(&64_u16.to_le_bytes());
    bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
    bytes
}

#[test]
fn a_missing_file_is_named() {
    for verb in [&["inspect"][..], &["run", "--"][..]] {
        let output = gotrace(&[verb, &["/nonexistent/program"]].concat());
        assert_eq!(output.status.code(), Some(4));
        assert!(said(&output).contains("/nonexistent/program"), "{}", said(&output));
    }
}

#[test]
fn a_command_that_is_not_on_the_path_is_named() {
    let output = gotrace(&["run", "--", "no-such-command-anywhere"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("no-such-command-anywhere") && said(&output).contains("PATH"));
}

#[test]
fn a_script_is_no_elf() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    executable(&script, b"#!/bin/sh\nexit 0\n");
    let output = gotrace(&["run", "--", script.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("ELF"), "{}", said(&output));
}

#[test]
fn watch_names_a_scripts_interpreter() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    executable(&script, b"#!/bin/sh -e\nexit 0\n");
    let output = gotrace(&["watch", script.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("/bin/sh -e runs"), "{}", said(&output));
    for (other, code) in [("/bin/true", 4), ("/nonexistent/program", 4)] {
        assert_eq!(gotrace(&["watch", other]).status.code(), Some(code));
    }
}

#[test]
fn a_c_program_is_not_go() {
    let output = gotrace(&["run", "--", "/bin/true"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("Go"), "{}", said(&output));
}

#[test]
fn a_32_bit_program_is_refused_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    executable(&program, &elf(1, 3));
    let output = gotrace(&["inspect", program.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("32-bit"), "{}", said(&output));
}

#[test]
fn an_unknown_machine_is_refused_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    executable(&program, &elf(2, 243));
    let output = gotrace(&["inspect", program.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("RISC-V") || said(&output).contains("243"), "{}", said(&output));
}

/// Refused before anything else is asked of the machine, so root and BPF make no difference.
#[test]
#[cfg(target_arch = "x86_64")]
fn an_arm64_go_program_is_refused_on_x86_64_and_still_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    executable(&program, &Image { arm64: true, ..Image::default() }.bytes());
    let program = program.to_str().unwrap();
    let output = gotrace(&["run", "--", program]);
    assert_eq!(output.status.code(), Some(4));
    let expected = format!(
        "gotrace: {program} is built for arm64, this machine is x86-64; gotrace inspect still reads it\n"
    );
    assert_eq!(said(&output), expected);
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
    let output = gotrace(&["inspect", program]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("arm64") && stdout.contains("_rt0_arm64_linux"), "{stdout}");
}

#[test]
fn a_file_that_may_not_be_run_is_refused_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::write(&program, "").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = gotrace(&["run", "--", program.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("chmod +x"), "{}", said(&output));
}

#[test]
fn a_directory_and_a_fifo_are_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [folder.path(), &fifo] {
        let output = gotrace(&["inspect", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for args in [&["run"][..], &["nonsense"], &["run", "--until", "never", "--", "true"]] {
        assert_eq!(gotrace(args).status.code(), Some(2), "{args:?}");
    }
}

/// Up to where the program's own words begin; `--help` there is reached only when all before it is right.
#[test]
fn every_command_line_in_the_readme_is_understood() {
    let lines = transcript::command_lines();
    assert!(lines.len() > 10, "{lines:?}");
    for line in lines {
        let end = line.iter().position(|word| word == "--").unwrap_or(line.len());
        let given: Vec<&str> = line[..end].iter().map(String::as_str).chain(["--help"]).collect();
        let output = gotrace(&given);
        assert_eq!(output.status.code(), Some(0), "{line:?}: {}", said(&output));
    }
}

#[test]
fn a_flame_graph_of_several_starts_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join("start.svg");
    let output = gotrace(&["run", "--repeat", "2", "-o", chart.to_str().unwrap(), "--", "true"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("svg is of one start"), "{}", said(&output));
    assert!(!chart.exists(), "an empty chart was left");
}

/// Before the process or the program is even looked for.
#[test]
fn a_format_that_cannot_tell_such_a_history_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let look = "one look has nothing to tell as that";
    for (args, suffix, says) in [
        (&["attach", "--now", "4294967295"][..], "pb.gz", look),
        (&["attach", "--now", "4294967295"], "csv", look),
        (&["attach", "--now", "4294967295"], "inittrace", look),
        (&["attach", "--now", "4294967295"], "svg", look),
        (&["attach", "4294967295"], "inittrace", "gotrace run sees them"),
        (&["run", "--", "true"], "inittrace", "add --heap"),
        (&["run", "--heap", "--repeat", "2", "--", "true"], "inittrace", "is of one start"),
        (&["run", "--repeat", "2", "--", "true"], "pb.gz", "is of one start"),
    ] {
        let file = folder.path().join(format!("report.{suffix}"));
        let (verb, rest) = args.split_first().unwrap();
        let given = [&[*verb, "-o", file.to_str().unwrap()], rest].concat();
        let output = gotrace(&given);
        assert_eq!(output.status.code(), Some(1), "{args:?} {suffix}: {}", said(&output));
        assert!(said(&output).contains(says), "{args:?} {suffix}: {}", said(&output));
        assert!(!file.exists(), "an empty report was left");
    }
}

#[test]
fn a_budget_of_no_figure_is_a_usage_error() {
    for budget in ["main=1ms", "to_main=soon", "to_main", "to_main=1ms,init:=1s"] {
        let output = gotrace(&["run", "--budget", budget, "--", "true"]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
    assert_eq!(gotrace(&["run", "--repeat", "0", "--", "true"]).status.code(), Some(2));
}

#[test]
fn diff_reads_what_run_writes_and_refuses_the_rest_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = path("good.ndjson", include_str!("../src/export/golden/startup.ndjson"));
    let same = gotrace(&["diff", &good, &good]);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    assert!(String::from_utf8_lossy(&same.stdout).contains("nothing beyond the noise"));

    let diff = String::from_utf8(gotrace(&["diff", "--json", &good, &good]).stdout).unwrap();
    for (bad, says) in [
        (path("new.ndjson", "{\"type\":\"header\",\"schema\":2}"), "schema 2"),
        (path("text.txt", include_str!("../src/export/golden/startup.txt")), "line 1"),
        (path("diff.ndjson", &diff), "no report of a program but a diff"),
        (path("empty.ndjson", ""), "no run"),
        ("/nonexistent.ndjson".to_owned(), "No such file"),
        (folder.path().to_str().unwrap().to_owned(), "directory"),
    ] {
        for files in [[&good, &bad], [&bad, &good]] {
            let output = gotrace(&["diff", files[0], files[1]]);
            assert_eq!(output.status.code(), Some(1), "{bad}");
            assert!(said(&output).contains(&bad) && said(&output).contains(says), "{}", said(&output));
            assert!(output.stdout.is_empty());
        }
    }
}

#[test]
fn what_other_programs_need_is_printed() {
    let printed = |args: &[&str]| {
        let output = gotrace(&[&["generate"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let schema: serde_json::Value = serde_json::from_str(&printed(&["schema"])).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        assert!(script.contains("ready-when") && script.contains("speedscope"), "{shell}: {script}");
    }
    assert!(printed(&["man"]).starts_with(".ie"), "{}", printed(&["man"]));
    let page = printed(&["man", "run"]);
    assert!(page.contains(".TH gotrace-run 1") && page.contains("\\-\\-ready\\-when"), "{page}");
    let unknown = gotrace(&["generate", "man", "fly"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("fly") && unknown.stdout.is_empty());
}

#[test]
fn doctor_names_every_check_and_its_exit_code_says_whether_all_is_well() {
    let output = gotrace(&["doctor"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    // Each capability that is missing has a row of its own.
    assert!(stdout.contains("capabilities") || stdout.contains("CAP_"), "{stdout}");
    for name in ["BPF object", "kernel", "uprobes", "kernel BTF", "lockdown"] {
        assert!(stdout.contains(name), "{name} is not in:\n{stdout}");
    }
    assert_eq!(output.status.code(), Some(if stdout.contains("FAIL") { 3 } else { 0 }));
}

#[test]
fn what_cannot_be_opened_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (page, witness) = (folder.path().join("page.html"), folder.path().join("ran"));
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/v2.gotrace");
    let opens = |verb: &[&OsStr], more: &[&OsStr]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gotrace"));
        for name in ["SUDO_UID", "DISPLAY", "WAYLAND_DISPLAY"] {
            command.env_remove(name);
        }
        command.arg(verb[0]).arg("--open").args(more).arg("--").args(&verb[1..]).output().unwrap()
    };
    let run = ["run".as_ref(), "/bin/touch".as_ref(), witness.as_os_str()];
    for verb in [&run[..], &["report".as_ref(), capture.as_os_str()]] {
        let output = opens(verb, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("add -o FILE.html or -o FILE.svg"), "{}", said(&output));
        let output = opens(verb, &["-o".as_ref(), page.as_os_str()]);
        assert_eq!(output.status.code(), Some(1));
        // SAFETY: the call has no preconditions.
        let reason = if unsafe { libc::geteuid() } == 0 { "a browser as root" } else { "no display" };
        assert!(said(&output).contains(reason), "{}", said(&output));
    }
    assert!(!witness.exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn who_cannot_be_sent_to_is_refused_before_anything_is_put_in_place() {
    let refused = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gotrace"));
        command.args(["node", "run", "--all", "--listen", "127.0.0.1:0"]).args(args);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        (output.status.code(), said(&output))
    };
    for (url, why) in [("https://collector", "no TLS"), ("http://me:secret@a", "OTEL_EXPORTER_OTLP_HEADERS")]
    {
        let (code, said) = refused(&["--otlp", url], &[]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
    let sends = ["--otlp", "http://127.0.0.1:1"];
    let (code, said) = refused(&sends, &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    assert_eq!((code, said.lines().count()), (Some(3), 1), "{said}");
    let why = if cfg!(feature = "otlp") { "only http/protobuf" } else { "built without the feature `otlp`" };
    assert!(said.contains(why), "{said}");
    let (code, said) = refused(&[&sends[..], &["--otlp-metrics", "10ms"]].concat(), &[]);
    assert!(code == Some(2) && said.contains("from 1s to 1day"), "{said}");
    let (code, said) = refused(&["--otlp-metrics"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]);
    if cfg!(feature = "otlp") {
        assert!(
            code == Some(2) && said.contains("needs a receiver: --otlp URL") && said.contains("Usage:"),
            "{said}"
        );
        let often = [&sends[..], &["--otlp-metrics"]].concat();
        let (code, said) = refused(&often, &[("OTEL_METRIC_EXPORT_INTERVAL", "1s")]);
        assert!(code == Some(3) && said.contains("a number of milliseconds"), "{said}");
    } else {
        assert!(code == Some(3) && said.contains("built without the feature `otlp`"), "{said}");
    }
    if cfg!(feature = "otlp") {
        let (code, said) = refused(&sends, &[("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%00")]);
        assert!(code == Some(3) && !said.contains("secret"), "{said}");
    }
}
