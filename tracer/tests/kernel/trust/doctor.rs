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
    // Everything, and something on the way.
    for (syscall, number, step) in [("bpf", "1+", "loading: "), ("bpf", "12", "")] {
        let inject = format!("inject={syscall}:error=EPERM:when={number}");
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-o", "/dev/null", "-e", &inject]).arg(gotrace().get_program()).arg("doctor");
        let output = strace.output().expect("strace runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "{syscall} {number}: {said}");
        let found = said.lines().find(|line| line.starts_with("FAIL  trial")).unwrap_or_default();
        assert!(found.contains(step) && said.contains("seccomp"), "{syscall} {number}: {said}");
    }
}
