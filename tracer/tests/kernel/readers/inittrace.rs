//! The lines of inittrace, beside the ones that Go itself prints of the same run.

use std::path::Path;

use crate::support::{Fixture, InitTrace, fixture, inittrace, is_emulated, nethttp, trace};

/// Runs a fixture with Go's own account of its inits, and gives ours and Go's.
fn both(fixture: &Fixture, folder: &Path) -> (Vec<InitTrace>, Vec<InitTrace>) {
    let mut fixture = fixture.clone();
    fixture.env.insert("GODEBUG".to_owned(), "inittrace=1".to_owned());
    let file = folder.join("start.inittrace");
    let traced = trace::<&str>(&fixture, &["--heap", "-o", file.to_str().expect("UTF-8")], &[]);
    traced.assert_complete(&fixture.name);
    let written = std::fs::read(&file).expect("the lines");
    let ours = inittrace(&written);
    let lines = written.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(
        ours.len(),
        lines,
        "not all are lines as Go writes them: {}",
        String::from_utf8_lossy(&written)
    );
    (ours, inittrace(&traced.output.stderr))
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn the_lines_are_those_of_go_itself() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in [nethttp(), fixture("initsleep")] {
        let (ours, oracle) = both(&fixture, folder.path());
        let packages =
            |inits: &[InitTrace]| inits.iter().map(|init| init.package.clone()).collect::<Vec<_>>();
        assert_eq!(packages(&ours), packages(&oracle), "{}", fixture.name);
        // Go prints its line inside the call, and gotrace's probe is before it.
        let most = if is_emulated() { 1.5 } else { 1.1 };
        let mut late = Vec::new();
        for (ours, oracle) in ours.iter().zip(&oracle) {
            late.push((ours.at_milliseconds - oracle.at_milliseconds).abs());
            if oracle.package.starts_with("example.com/initsleep/") {
                let ratio = ours.milliseconds / oracle.milliseconds;
                assert!((0.9..=most).contains(&ratio), "{ours:?} {oracle:?}");
            }
        }
        late.sort_by(f64::total_cmp);
        let median = late[late.len() / 2];
        assert!(median < if is_emulated() { 5.0 } else { 0.5 }, "{}: {late:?}", fixture.name);
        // initsleep's inits start goroutines, which allocate too.
        let is_equal = |(ours, oracle): &(&InitTrace, &InitTrace)| {
            (ours.bytes, ours.allocs) == (oracle.bytes, oracle.allocs)
        };
        let equal = ours.iter().zip(&oracle).filter(is_equal).count();
        assert!(fixture.program != "nethttp" || equal * 10 >= ours.len() * 9, "{equal} of {}", ours.len());
        eprintln!("{}: begins {median:.4} ms apart, {equal} of {} to the byte", fixture.name, ours.len());
    }
}
