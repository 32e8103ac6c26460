//! QEMU, its console, and what the guest's `/init` says on it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::VOICE;
use crate::{apt, exec};

const QEMU: &str = "qemu-system-x86_64";

/// How the guest's time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Clock {
    /// As here, on two processors.
    #[default]
    Real,
    /// One nanosecond an instruction, on one processor; what waits for a time is there at once.
    Instructions,
}

/// How a command in the guest ended.
pub(crate) struct Outcome {
    pub(crate) exit_code: u8,
    /// What the guest's kernel log has of warnings since the command began.
    pub(crate) kernel_complaints: Vec<String>,
}

/// Finds QEMU, or installs it.
pub(crate) fn prepare() -> Result<()> {
    if which::which(QEMU).is_err() {
        apt::install(VOICE, &["qemu-system-x86"]).context("finding QEMU, which runs other kernels")?;
    }
    Ok(())
}

/// Boots, runs the guest's `/command`, and hands over its output.
pub(crate) fn run(mut command: Command, timeout: Duration, mut on_line: impl FnMut(&str)) -> Result<Outcome> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", exec::line(&command)))?;
    let console = BufReader::new(child.stdout.take().context("QEMU's console was piped")?);
    let errors = BufReader::new(child.stderr.take().context("QEMU's messages were piped")?);
    let errors = thread::spawn(move || errors.lines().map_while(Result::ok).collect::<Vec<_>>());
    let watchdog = Watchdog::start(child, timeout);

    let mut report = Report::default();
    for line in console.split(b'\n') {
        let line = line.context("reading the guest's console")?;
        report.take(String::from_utf8_lossy(&line).trim_end_matches('\r'), &mut on_line);
    }
    if watchdog.stop()? {
        bail!(
            "the guest was not done after {} s; last on its console:\n{}",
            timeout.as_secs(),
            report.tail()
        );
    }
    let messages = errors.join().unwrap_or_default();
    match report.exit_code {
        Some(exit_code) => Ok(Outcome { exit_code, kernel_complaints: report.complaints }),
        None => bail!("the guest ended before its command did:\n{}{}", report.tail(), messages.join("\n")),
    }
}

/// Boots with this terminal as its console.
pub(crate) fn interactive(mut command: Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("starting {}", exec::line(&command)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A machine with that kernel and these files. One that gives way runs only while nothing else wants a processor
/// (`SCHED_IDLE`).
pub(crate) fn qemu(kernel: &Path, image: &Path, clock: Clock, gives_way: bool) -> Command {
    let mut command = Command::new(if gives_way { "chrt" } else { QEMU });
    if gives_way {
        command.args(["--idle", "0", QEMU]);
    }
    // Emulation works everywhere, also inside a guest; stock kernels need more than a bare /dev/kvm gives there.
    // Its processors take turns in one thread: where each has its own, one may run code that another has just patched, and
    // a kernel that turns a tracepoint on or off then dies of a breakpoint that nobody knows.
    command.args(["-accel", "tcg,thread=single", "-m", "2048", "-cpu", "max"]);
    match clock {
        Clock::Real => command.args(["-smp", "2"]),
        Clock::Instructions => command.args(["-smp", "1", "-icount", "shift=0,sleep=off"]),
    };
    command.args(["-nographic", "-no-reboot", "-nic", "none", "-kernel"]).arg(kernel);
    command.arg("-initrd").arg(image);
    command.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]);
    command
}

/// Reads the console.
#[derive(Default)]
struct Report {
    begun: bool,
    exit_code: Option<u8>,
    complaints: Vec<String>,
    last: Vec<String>,
    /// An empty line that may be the one that `/init` writes to begin its own lines in the first column.
    held: bool,
}

impl Report {
    fn take(&mut self, line: &str, on_line: &mut impl FnMut(&str)) {
        self.last.push(line.to_owned());
        if self.last.len() > 40 {
            self.last.remove(0);
        }
        // The firmware's last words share a line with the first marker.
        if !self.begun {
            self.begun = line.ends_with("@gotrace begin");
        } else if let Some(complaint) = line.strip_prefix("@gotrace kernel ") {
            self.complaints.push(complaint.to_owned());
        } else if let Some(code) = line.strip_prefix("@gotrace exit ") {
            self.exit_code = code.trim().parse().ok();
        } else if self.exit_code.is_none() {
            if std::mem::replace(&mut self.held, line.is_empty()) {
                on_line("");
            }
            if !line.is_empty() {
                on_line(line);
            }
        }
    }

    fn tail(&self) -> String {
        self.last.iter().map(|line| format!("  {line}\n")).collect()
    }
}

/// Ends QEMU when the time is over.
struct Watchdog {
    child: Arc<Mutex<Child>>,
    done: mpsc::Sender<()>,
    thread: thread::JoinHandle<bool>,
}

impl Watchdog {
    fn start(child: Child, timeout: Duration) -> Self {
        let child = Arc::new(Mutex::new(child));
        let (done, ended) = mpsc::channel();
        let watched = Arc::clone(&child);
        let thread = thread::spawn(move || {
            let late = ended.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout);
            if late && let Ok(mut child) = watched.lock() {
                // It may have ended by itself in this moment.
                drop(child.kill());
            }
            late
        });
        Self { child, done, thread }
    }

    /// Says whether it had to.
    fn stop(self) -> Result<bool> {
        drop(self.done);
        let late = self.thread.join().unwrap_or(false);
        if let Ok(mut child) = self.child.lock() {
            child.wait().context("waiting for QEMU's end")?;
        }
        Ok(late)
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn the_console_is_told_apart() {
        let mut report = Report::default();
        let mut lines = Vec::new();
        let console =
            "SeaBIOS\n\x1bc@gotrace begin\nhello\n\n\n@gotrace kernel [1.0] WARNING: x\n@gotrace exit 7\nbye";
        for line in console.split('\n') {
            report.take(line, &mut |line: &str| lines.push(line.to_owned()));
        }
        assert_eq!(lines, ["hello", ""]);
        assert_eq!(report.exit_code, Some(7));
        assert_eq!(report.complaints, ["[1.0] WARNING: x"]);
    }
}
