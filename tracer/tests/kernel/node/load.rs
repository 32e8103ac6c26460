//! A node on which programs come and go: `cargo xtask load` does it for minutes.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::groups::{Container, hierarchy};
use super::{Agent, programs, select};
use crate::support::is_emulated;

/// So many processes there are at any time, in so many containers of pods of their own.
const PROCESSES: usize = 200;
const CONTAINERS: usize = 20;

/// So many end, and so many begin; where the processor is emulated, each takes many times as long.
fn a_second() -> u32 {
    if is_emulated() { 5 } else { 20 }
}

/// What the agent may take, in bytes, and of one CPU.
const MOST_RESIDENT: f64 = 100e6;
const MOST_CPU: f64 = 0.05;

/// A process in PID and mount namespaces of its own, where its number is the same as everyone's.
fn start(program: &Path, container: &Container) -> Child {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--fork", "--kill-child", "--"]).arg(program).args(["-sleep", "1h"]);
    container.enter(&mut command);
    command.stdout(Stdio::null()).spawn().expect("unshare runs")
}

fn stop(mut child: Child) {
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

/// How many programs are in the kernel, whoever loaded them.
fn loaded() -> usize {
    aya::programs::loaded_programs().count()
}

#[test]
#[ignore = "needs root, BPF and fixtures: cargo xtask test"]
fn whatever_comes_and_goes_is_told_of_its_pod() {
    let Some(root) = hierarchy() else {
        eprintln!("skipped: no hierarchy of the second version of control groups can be written to");
        return;
    };
    let asked = std::env::var("GOTRACE_LOAD_SECONDS").ok().map(|given| given.parse().expect("seconds"));
    let lasts = Duration::from_secs(asked.unwrap_or(10));
    let folder = tempfile::tempdir().unwrap();
    let programs = programs(folder.path());
    let loaded_before = loaded();
    let agent = Agent::of(&select(&programs));
    agent.watches(programs.len() as f64);
    let containers: Vec<Container> = (0..CONTAINERS).map(|index| Container::make(&root, index)).collect();

    let mut running = VecDeque::new();
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    let mut started = 0;
    let mut start_next = |running: &mut VecDeque<Child>| {
        let (program, container) = (started % programs.len(), &containers[started % CONTAINERS]);
        running.push_back(start(&programs[program], container));
        let labels = format!(
            "{{exe=\"node-test-{program}\",module=\"example.com/nethttp\",namespace=\"{}\",pod=\"{}\",container_id=\"{}\",outcome=\"main\"}}",
            container.namespace,
            container.pod,
            &container.id[..12],
        );
        *expected.entry(labels).or_default() += 1.0;
        started += 1;
        started as f64
    };
    for _ in 0..PROCESSES {
        start_next(&mut running);
    }
    let of = |name: &str| agent.sum(name);
    agent.wait_for("the first", |agent| agent.sum("gotrace_starts_total") == PROCESSES as f64);
    let (began, cpu) = (Instant::now(), of("gotrace_agent_cpu_seconds_total"));
    let (mut all, mut resident) = (0.0, Vec::new());
    for turn in 1_u32.. {
        if began.elapsed() > lasts {
            break;
        }
        stop(running.pop_front().expect("one runs"));
        all = start_next(&mut running);
        if turn.is_multiple_of(a_second()) {
            resident.push(of("gotrace_agent_resident_bytes"));
        }
        thread::sleep((turn * Duration::from_secs(1) / a_second()).saturating_sub(began.elapsed()));
    }
    let took = (of("gotrace_agent_cpu_seconds_total") - cpu) / began.elapsed().as_secs_f64();
    agent.wait_for("every start", |agent| agent.sum("gotrace_starts_total") == all);
    assert_eq!(agent.samples("gotrace_starts_total"), expected);
    for none in ["unsure", "unplaced", "unselected", "joined_late"] {
        assert_eq!(of(&format!("gotrace_starts_{none}_total")), 0.0, "{none}");
    }
    assert_eq!(of("gotrace_probe_records_lost_total"), 0.0);
    // They are known one by one as long as they run.
    agent.wait_for("those that run", |agent| agent.sum("gotrace_processes") == PROCESSES as f64);

    let (middle, last) = (resident[resident.len() / 2], resident[resident.len() - 1]);
    eprintln!(
        "{all} starts, {:.0} s: {:.2} % of a CPU, {:.1} MB resident in the middle and {:.1} MB at the end",
        began.elapsed().as_secs_f64(),
        took * 100.0,
        middle / 1e6,
        last / 1e6,
    );
    assert!(last < MOST_RESIDENT && last - middle < MOST_RESIDENT / 20.0, "{resident:?}");
    assert!(asked.is_none() || is_emulated() || took < MOST_CPU, "{took}");
    running.into_iter().for_each(stop);
    agent.end();
    let patience = Instant::now() + Duration::from_secs(10);
    while loaded() > loaded_before && Instant::now() < patience {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(loaded() <= loaded_before);
}
