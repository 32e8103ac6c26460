//! A capture tells of the collector what the session told.

use super::Program;
use crate::blocking::Attached;
use crate::recorded::Recorded;
use crate::support::fixtures_of;

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_capture_tells_the_same_of_the_collector() {
    for build in ["default", "stripped", "pie"] {
        let fixture = fixtures_of("collector").into_iter().rfind(|fixture| fixture.build == build);
        let fixture = fixture.expect("such a build");
        let asked: [(&str, &[&str]); 3] = [
            ("forced 20", &["--stw-slow", "0s"]),
            ("tight 20", &["--stw-slow", "100us"]),
            ("assists 256", &["--interval", "200ms"]),
        ];
        for (step, options) in asked {
            let mut program = Program::start(&fixture, "");
            let recorded = Recorded::new(true);
            let options = recorded.options(options);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let attached = Attached::to(program.pid(), &options);
            program.step(step);
            attached.end();
            recorded.assert_told_again(&format!("{} {step}", fixture.name), &[]);
        }
    }
}
