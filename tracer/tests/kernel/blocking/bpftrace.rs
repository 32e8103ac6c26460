//! What a script of bpftrace's measures of the same system calls, at the same time.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{Attached, Cued, Report};
use crate::support::fixtures_of;

/// How long each system call of a process takes, summed up by number. In a mount namespace of its own, for its
/// tracepoints are found by tracefs, which not every machine has mounted. It ends when somebody asks whether the process
/// is there, with kill(2) and no signal: bpftrace 0.17 loses an interrupt that comes between two of its waits.
const SCRIPT: &str = r#"mount -t tracefs none /sys/kernel/tracing; exec bpftrace -e '
BEGIN { printf("begun\n"); }
tracepoint:raw_syscalls:sys_enter /pid == PID/ { @at[tid] = nsecs; }
tracepoint:raw_syscalls:sys_exit /pid == PID && @at[tid]/ { @total[args->id] = sum(nsecs - @at[tid]); delete(@at[tid]); }
tracepoint:syscalls:sys_enter_kill /args->pid == PID && args->sig == 0/ { exit(); }
END { clear(@at); }'"#;

struct Bpftrace {
    child: Child,
    /// The process that it measures.
    pid: u32,
    output: Lines<BufReader<ChildStdout>>,
}

impl Bpftrace {
    fn begin(pid: u32) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &SCRIPT.replace("PID", &pid.to_string())]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("unshare runs");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut bpftrace = Self { child, pid, output };
        let begun = bpftrace.output.by_ref().map_while(Result::ok).any(|line| line == "begun");
        assert!(begun, "bpftrace does not begin");
        // BEGIN runs first of all probes, so the others may still be on their way.
        thread::sleep(Duration::from_millis(500));
        bpftrace
    }

    /// Nanoseconds by the number of the system call.
    fn end(mut self) -> BTreeMap<u32, u64> {
        // SAFETY: it asks about a number, and does nothing to the process.
        assert_eq!(unsafe { libc::kill(self.pid.cast_signed(), 0) }, 0);
        let row = |line: String| {
            let (number, total) = line.strip_prefix("@total[")?.split_once("]: ")?;
            Some((number.parse().ok()?, total.parse().ok()?))
        };
        let totals = self.output.by_ref().map_while(Result::ok).filter_map(row).collect();
        self.child.wait().expect("bpftrace ends");
        totals
    }
}

#[test]
#[ignore = "needs root, bpftrace and fixtures: cargo xtask test"]
fn the_time_of_system_calls_is_what_bpftrace_measures() {
    // By their numbers on x86-64.
    for (case, syscall, number) in [("fifo", "read", 0), ("flock", "flock", 73), ("fsync", "fsync", 74)] {
        for fixture in fixtures_of("blocked") {
            let mut cued = Cued::start(&fixture, &[case, "5"]);
            let bpftrace = Bpftrace::begin(cued.pid());
            let attached = Attached::to(cued.pid(), &[]);
            cued.go();
            let (report, totals) = (attached.end(), bpftrace.end());
            let mut lines = report.all("blocking");
            lines.retain(|line| line["kind"] == "syscall" && line["syscall"] == syscall);
            let ours = Report::sum(&lines, "total_ns");
            let theirs = *totals.get(&number).expect("bpftrace has seen it");
            assert!(ours.abs_diff(theirs) <= theirs / 10, "{} {case}: {ours}, {theirs}", fixture.name);
        }
    }
}
