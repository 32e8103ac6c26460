//! `--waits -o FILE.trace.json`: the waits that other goroutines ended are drawn, each with an arrow from who ended it.

use crate::number;
use crate::support::{fixtures_of, trace_event};

use super::waits::{Follower, KINDS, NO_LIMIT, Program};

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn who_woke_whom_is_drawn() {
    for fixture in fixtures_of("waits") {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("waits.trace.json");
        let mut program = Program::start(&fixture);
        let options = ["--slow", "100us", "-o", file.to_str().expect("a name")];
        let follower = Follower::of(&program, &[&NO_LIMIT[..], &options].concat());
        let said = program.step("kinds 10");
        follower.end();
        let trace = trace_event::read(&std::fs::read_to_string(&file).expect("a trace"));
        let name = &fixture.name;
        assert_eq!(trace.other["wakeups_not_shown"], 0, "{name}");
        // Of each an arrow leads to where it is ready, and who waits says who ended it.
        for wait in trace.of("parked") {
            let waker = number(&wait.args["woken_by_goroutine"]);
            let from = format!("goroutine {waker}, ");
            let to = format!("{}: ready", wait.track);
            let has_arrow = trace.flows.iter().any(|(a, b)| a.starts_with(&from) && *b == to);
            assert!(has_arrow, "{name}: {wait:?} {:?}", trace.flows);
        }
        for (kind, function, _) in KINDS {
            let is_there = |frame: &serde_json::Value| {
                frame.as_str().is_some_and(|frame| frame.split(' ').next() == Some(function))
            };
            let waits = trace
                .of("parked")
                .filter(|wait| wait.args["stack"].as_array().is_some_and(|stack| stack.iter().any(is_there)));
            // Nobody ends a sleep.
            let account = said.iter().find(|account| account["kind"] == kind).expect("it says so");
            let expected = if kind == "sleep" { 0 } else { number(&account["count"]) };
            assert_eq!(waits.count() as u64, expected, "{name} {kind}");
        }
    }
}
