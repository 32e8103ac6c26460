//! Who may look at a running program: gotrace, what others use, and the least that it can cost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::empty_pair::EmptyPair;
use super::figures::{Figures, Table};
use crate::{cache, exec};

/// No watcher needs this long to begin or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to look at the system calls of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watcher {
    Nobody,
    /// Empty BPF programs at `raw_tp/sys_enter` and `sys_exit`.
    EmptyPair,
    /// `gotrace attach --no-gc`
    GotraceWithoutGc,
    Gotrace,
    /// `gotrace attach --waits`
    GotraceWaits,
    /// `gotrace attach --waits --max-overhead 100`: whatever it costs.
    GotraceEveryWait,
    /// `gotrace attach --slow 0s`, which tells every call one by one, with a ring of 16 MiB.
    GotraceEach,
    /// `perf trace -s`
    PerfTrace,
    /// `strace -c -f`
    Strace,
}

/// A line for each of them, beside [`Watcher::Nobody`], which is first.
#[expect(single_use_lifetimes, reason = "impl Trait cannot do without a name for it yet")]
pub(super) fn table<'a>(title: &str, rows: impl IntoIterator<Item = (Watcher, &'a Figures)>) -> Table {
    let mut table = Table::new(title);
    let mut alone = None;
    for (watcher, figures) in rows {
        table.row(watcher.name(), figures, alone);
        if watcher == Watcher::Nobody {
            alone = Some(figures);
        }
    }
    table
}

impl Watcher {
    /// Those that look at system calls, in the order of what they cost.
    pub(super) const ALL: [Self; 5] =
        [Self::Nobody, Self::EmptyPair, Self::Gotrace, Self::PerfTrace, Self::Strace];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "alone",
            Self::EmptyPair => "two empty BPF programs",
            Self::GotraceWithoutGc => "gotrace attach --no-gc",
            Self::Gotrace => "gotrace attach",
            Self::GotraceWaits => "gotrace attach --waits",
            Self::GotraceEveryWait => "gotrace attach --waits --max-overhead 100",
            Self::GotraceEach => "gotrace attach --slow 0s",
            Self::PerfTrace => "perf trace -s",
            Self::Strace => "strace -c -f",
        }
    }

    /// Begins to look at a process, and returns when it does.
    pub(super) fn begin(self, gotrace: &Path, pid: u32) -> Result<Watching> {
        let pid = pid.to_string();
        let mut command = match self {
            Self::Nobody => return Ok(Watching::Nobody),
            Self::EmptyPair => return Ok(Watching::Pair(EmptyPair::attach()?)),
            Self::PerfTrace => Command::new("perf"),
            Self::Strace => Command::new("strace"),
            _ => Command::new(gotrace),
        };
        match self {
            Self::Gotrace => command.args(["attach", "--json", &pid]),
            Self::GotraceWithoutGc => command.args(["attach", "--json", "--no-gc", &pid]),
            Self::GotraceWaits => command.args(["attach", "--json", "--waits", &pid]),
            Self::GotraceEveryWait => {
                command.args(["attach", "--json", "--waits", "--max-overhead", "100", &pid])
            }
            Self::GotraceEach => {
                command.args(["attach", "--json", "--slow", "0s", "--ring-size", "16384", &pid])
            }
            Self::PerfTrace => command.args(["trace", "-s", "-p", &pid]),
            _ => command.args(["-c", "-f", "-p", &pid]),
        };
        let said = Said::new(self)?;
        let began = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&said.stdout)?)
            .stderr(fs::File::create(&said.stderr)?)
            .spawn()
            .with_context(|| format!("starting {}", exec::line(&command)))?;
        let mut process = Process { child, said, line: exec::line(&command), ready: Duration::ZERO };
        process.wait_until(|process| match self {
            Self::PerfTrace => process.has_rings(),
            Self::Strace => process.traces(&pid),
            _ => process.said.text().contains("Ctrl-C for the report"),
        })?;
        process.ready = began.elapsed();
        Ok(Watching::Process(process))
    }
}

/// One that looks.
pub(super) enum Watching {
    Nobody,
    Pair(EmptyPair),
    Process(Process),
}

impl Watching {
    /// How long it took from its start to the first system call that it would see.
    pub(super) fn ready(&self) -> Option<Duration> {
        match self {
            Self::Process(process) => Some(process.ready),
            Self::Nobody | Self::Pair(_) => None,
        }
    }

    /// Its process, when it is one.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Process(process) => Some(process.child.id()),
            Self::Nobody | Self::Pair(_) => None,
        }
    }

    /// Ctrl-C; how long it took to be gone, and what it said.
    pub(super) fn end(self) -> Result<(Duration, String)> {
        match self {
            Self::Nobody => Ok(Default::default()),
            Self::Pair(pair) => {
                drop(pair);
                Ok(Default::default())
            }
            Self::Process(process) => process.end(),
        }
    }
}

/// A watcher that is a program.
pub(super) struct Process {
    child: Child,
    said: Said,
    line: String,
    ready: Duration,
}

impl Process {
    fn wait_until(&mut self, done: impl Fn(&Self) -> bool) -> Result<()> {
        let began = Instant::now();
        while !done(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}): {}", self.line, self.said.text().trim_end());
            }
            if began.elapsed() > PATIENCE {
                bail!("{} does not begin: {}", self.line, self.said.text().trim_end());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Whether perf has mapped the rings of its events, which it does last before it enables them.
    fn has_rings(&self) -> bool {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.id())).unwrap_or_default();
        let there = maps.contains("anon_inode:[perf_event]");
        if there {
            thread::sleep(Duration::from_millis(300));
        }
        there
    }

    /// Whether every thread of the process is traced.
    fn traces(&self, pid: &str) -> bool {
        let tracer = format!("TracerPid:\t{}\n", self.child.id());
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
        threads
            .flatten()
            .all(|thread| fs::read_to_string(thread.path().join("status")).is_ok_and(|s| s.contains(&tracer)))
    }

    fn end(mut self) -> Result<(Duration, String)> {
        let began = Instant::now();
        // SAFETY: the child is ours and not waited for, so the number is still its.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGINT) };
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > PATIENCE {
                bail!("{} does not end", self.line);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok((began.elapsed(), self.said.text()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error on the way here must not leave it there.
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Files that hold what it says; they go with it.
struct Said {
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Said {
    fn new(watcher: Watcher) -> Result<Self> {
        let path = |stream| -> Result<PathBuf> {
            Ok(cache::folder("bench")?.join(format!("{}-{watcher:?}.{stream}", std::process::id())))
        };
        Ok(Self { stdout: path("stdout")?, stderr: path("stderr")? })
    }

    fn text(&self) -> String {
        [&self.stdout, &self.stderr]
            .map(|path| {
                fs::read(path).map_or(String::new(), |said| String::from_utf8_lossy(&said).into_owned())
            })
            .concat()
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.stdout));
        drop(fs::remove_file(&self.stderr));
    }
}
