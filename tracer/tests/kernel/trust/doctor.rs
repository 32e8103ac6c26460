//! `gotrace doctor` tries what it speaks of.

use std::process::Command;

use crate::support::gotrace;

#[test]
#[ignore = "needs root, BPF and strace: cargo xtask test"]
fn the_doctor_tries_it_and_tells_the_fix() {
    let output = gotrace().arg("doctor").output().expect("gotrace runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("loaded, attached to gotrace itself, read"), "{said}");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", "/dev/null", "-e", "inject=bpf:error=EPERM"]).arg(gotrace().get_program());
    let output = strace.arg("doctor").output().expect("strace runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let found = said.lines().find(|line| line.starts_with("FAIL  trial")).unwrap_or_default();
    assert!(found.contains("loading: ") && said.contains("seccomp"), "{said}");
}
