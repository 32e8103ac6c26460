//! A running program twice, side by side.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::blocking::{Attached, Cued};
use crate::support::{fixture, fixtures_of, gotrace, nethttp, parse};

/// Follows `blocked two`, which reads a FIFO that has a byte every 10 ms, and one that has it as often as `nap` says.
fn follow(nap: &str, times: &str, folder: &Path, name: &str) {
    let fixture = fixtures_of("blocked").into_iter().find(|fixture| fixture.build == "default");
    let fixture = fixture.expect("a build of blocked");
    let mut cued = Cued::start_with(&fixture, &["two", times], &[("NAP", nap)]);
    let file = |suffix: &str| folder.join(name).with_extension(suffix).display().to_string();
    let (capture, lines) = (file("gotrace"), file("ndjson"));
    let attached = Attached::to(cued.pid(), &["-o", &capture, "-o", &lines]);
    cued.go();
    attached.end();
}

fn diff(a: &Path, b: &Path, options: &[&str]) -> String {
    let output = gotrace().arg("diff").args(options).args([a, b]).output().expect("gotrace runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn site<'a>(lines: &'a [Value], function: &str) -> &'a Value {
    let found = lines.iter().find(|line| line["kind"] == "site" && line["function"] == function);
    found.unwrap_or_else(|| panic!("no {function} in {lines:?}"))
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_place_that_waits_longer_is_what_became_slower() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    // Another load as well: more waits in a longer span, as often each second.
    follow("10ms", "200", folder.path(), "before");
    follow("30ms", "300", folder.path(), "after");
    let (a, b) = (file("before.gotrace"), file("after.gotrace"));
    let lines = parse(&diff(&a, &b, &["--json"]));
    assert_eq!((&lines[0]["report"], &lines[0]["of"]), (&"diff".into(), &"running".into()));
    let (uneven, steady) = (site(&lines, "main.readUneven"), site(&lines, "main.readSteady"));
    assert_eq!(uneven["each_ns"]["is_noise"], false, "{uneven}");
    let difference = uneven["each_ns"]["difference"].as_f64().unwrap();
    assert!((15e6..40e6).contains(&difference), "{uneven}");
    assert_eq!(steady["each_ns"]["is_noise"], true, "{steady}");
    for site in lines.iter().filter(|line| line["kind"] == "site" && line["function"] != "main.readUneven") {
        assert!(site["each_ns"]["is_noise"] != false, "{site}");
    }
    // What the session wrote as lines tells the same.
    let of_lines = parse(&diff(&file("before.ndjson"), &file("after.ndjson"), &["--json"]));
    assert_eq!(lines[1..], of_lines[1..]);

    let text = diff(&a, &b, &[]);
    assert!(text.contains("main.readUneven") && text.contains("is taken for granted"), "{text}");
    assert!(diff(&a, &a, &[]).contains("nothing beyond the noise"));
    let back = parse(&diff(&b, &a, &["--json"]));
    assert!(site(&back, "main.readUneven")["each_ns"]["difference"].as_f64().unwrap() < 0.0);

    let picture = file("diff.svg");
    diff(&a, &b, &["-o", picture.to_str().unwrap()]);
    let drawn = fs::read_to_string(&picture).unwrap();
    assert!(drawn.contains("<title>main.readUneven (") && drawn.contains("[syscall read]"), "{drawn}");
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn starts_are_drawn_against_starts_and_not_against_a_running_program() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for (name, nap) in [("a", "5ms"), ("b", "100ms")] {
        let mut command = gotrace();
        for suffix in ["gotrace", "ndjson"] {
            command.arg(if suffix == "gotrace" { "run" } else { "-o" });
            if suffix == "gotrace" {
                command.args(["-q", "--repeat", "2", "-o"]);
            }
            command.arg(file(name).with_extension(suffix));
        }
        command.arg("--").arg(fixture("initsleep").path).env("NAP", nap);
        assert!(command.output().unwrap().status.success());
    }
    let picture = file("diff.svg");
    diff(&file("a.gotrace"), &file("b.gotrace"), &["-o", picture.to_str().unwrap()]);
    let drawn = fs::read_to_string(&picture).unwrap();
    // Of one start, not of two.
    assert!(drawn.contains("<title>example.com/initsleep/nap (1") && drawn.contains("; +"), "{drawn}");

    let refused = |a: &str, b: &str| {
        let other = file("none.svg");
        let output = gotrace().args(["diff", "-o"]).arg(&other).args([file(a), file(b)]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(!other.exists());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused("a.ndjson", "b.ndjson").contains("drawn from captures"));
    let mut attach = gotrace();
    attach.args(["attach", "-q", "--duration", "200ms", "-o"]).arg(file("running.gotrace"));
    let mut server = std::process::Command::new(nethttp().path);
    let mut server = server.args(["-sleep", "20s"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let attached = attach.arg(server.id().to_string()).output().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(attached.status.success(), "{}", String::from_utf8_lossy(&attached.stderr));
    assert!(refused("running.gotrace", "a.gotrace").contains("cannot be compared"));
}
