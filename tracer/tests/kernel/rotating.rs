//! Captures of a running program that may only be so large: file after file, each of which tells its part.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::blocking::{Attached, Cued};
use crate::number;
use crate::support::{fixtures_of, gotrace, parse};

/// Keeps every file that takes another one's place, under the next number.
fn keep(capture: &Path, seen: &mut BTreeSet<u64>, folder: &Path) {
    let before = capture.with_extension("gotrace.1");
    let next = folder.join(format!("{}.gotrace", seen.len()));
    // It may be gone when it is linked: then the next one is there.
    if fs::metadata(&before).is_ok_and(|found| !seen.contains(&found.ino()))
        && fs::hard_link(&before, &next).is_ok()
    {
        seen.insert(fs::metadata(&next).expect("the link").ino());
    }
}

/// The first and the last line of a capture's only report.
fn told(capture: &Path) -> [Value; 2] {
    let output = gotrace().args(["report", "--json"]).arg(capture).output().expect("gotrace runs");
    let said = String::from_utf8_lossy(&output.stderr);
    // What the ring had no room for is told, and is no loss of the files.
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}: {said}", capture.display());
    assert!(!said.contains("ends early"), "{}: {said}", capture.display());
    let mut lines = parse(std::str::from_utf8(&output.stdout).expect("text"));
    assert_eq!(lines.iter().filter(|line| line["type"] == "header").count(), 1);
    let last = lines.pop().expect("a last line");
    [lines.swap_remove(0), last]
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn every_file_of_a_rotation_tells_its_part_and_nothing_is_between_them() {
    let fixture = fixtures_of("churn").pop().expect("its fixture");
    let folder = tempfile::tempdir().expect("a folder");
    let kept = tempfile::tempdir_in(folder.path()).expect("a folder beside it");
    let capture = folder.path().join("a.gotrace");
    let mut cued = Cued::start(&fixture, &["descriptors", "6"]);
    let options = [
        "--slow",
        "0s",
        "--ring-size",
        "65536",
        "--max-size",
        "1M",
        "-o",
        capture.to_str().expect("a name"),
        "-o",
        "-",
    ];
    let attached = Attached::to(cued.pid(), &options);
    let mut seen = BTreeSet::new();
    let going = thread::spawn(move || {
        let said = cued.go();
        (cued, said)
    });
    while !going.is_finished() {
        thread::sleep(Duration::from_millis(20));
        keep(&capture, &mut seen, kept.path());
    }
    let cued = going.join().expect("it goes");
    let report = attached.end();
    drop(cued);
    keep(&capture, &mut seen, kept.path());
    assert!(seen.len() >= 2, "{} files are no rotation", seen.len());

    let files = (0..seen.len()).map(|number| kept.path().join(format!("{number}.gotrace")));
    let parts: Vec<[Value; 2]> = files.chain([capture]).map(|file| told(&file)).collect();
    for pair in parts.windows(2) {
        assert_eq!(pair[0][1]["end_ns"], pair[1][0]["start_ns"], "one begins where the one before ends");
    }
    let whole = report.summary();
    assert_eq!(parts[0][0]["start_ns"], report.all("header")[0]["start_ns"]);
    assert_eq!(parts.last().expect("a last part")[1]["end_ns"], whole["end_ns"]);
    for field in ["calls", "slow", "suffered_ns", "span_ns"] {
        let sum: u64 = parts.iter().map(|part| number(&part[1][field])).sum();
        assert_eq!(sum, number(&whole[field]), "{field} of {} files", parts.len());
    }
}
