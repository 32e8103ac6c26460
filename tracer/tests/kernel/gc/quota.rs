//! A program that its control group lets run for a part of the time only.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Program, one_build, those};
use crate::number;

/// A control group of the test's own, which goes with it.
struct Group(PathBuf);

impl Group {
    /// A group whose processes get a fifth of a processor; none where groups cannot do that here.
    fn new() -> Option<Self> {
        let name = format!("gotrace-test-{}", std::process::id());
        let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").unwrap_or_default();
        if controllers.split_whitespace().any(|controller| controller == "cpu") {
            return Self::with(&Path::new("/sys/fs/cgroup").join(name), &[("cpu.max", "20000 100000")]);
        }
        let first_version = Path::new("/sys/fs/cgroup/cpu");
        first_version.join("cpu.cfs_quota_us").exists().then_some(())?;
        Self::with(
            &first_version.join(name),
            &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "20000")],
        )
    }

    fn with(folder: &Path, settings: &[(&str, &str)]) -> Option<Self> {
        fs::create_dir(folder).ok()?;
        let group = Self(folder.to_owned());
        for (file, setting) in settings {
            fs::write(folder.join(file), setting).ok()?;
        }
        Some(group)
    }

    fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("it may be put there");
    }

    /// How often it was held back.
    fn throttled(&self) -> u64 {
        let stat = fs::read_to_string(self.0.join("cpu.stat")).expect("its statistics");
        let line = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count: {stat}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group goes when the last process in it has gone, which the kernel takes a moment for.
        for _ in 0..1000 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn a_quota_is_told_from_a_collector_that_is_slow() {
    let Some(group) = Group::new() else {
        eprintln!("not tested: no control group here can limit the processor");
        return;
    };
    let mut program = Program::start(&one_build(), "");
    group.take(program.pid());
    let (_, report) = program.under_gotrace("busy 60", &[]);
    assert!(group.throttled() >= 10, "it was not held back");
    let long = those(&report, "gc_incident", |incident| number(&incident["duration_ns"]) > 20_000_000);
    assert!(long.len() >= 3, "{:?}", report.all("gc_incident"));
    let starved: Vec<&&Value> = long.iter().filter(|incident| incident["verdict"] == "starvation").collect();
    assert!(starved.len() * 2 > long.len(), "{long:?}");
    let throttled = starved.iter().filter(|incident| incident["throttled_ns"].as_u64() > Some(0)).count();
    assert!(throttled * 2 > starved.len(), "{starved:?}");
    drop(program);
}
