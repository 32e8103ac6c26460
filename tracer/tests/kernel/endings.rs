//! Programs that never reach `main.main`.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::Value;

use crate::WHOLE;
use crate::support::{fixture, trace};

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
