//! What is collected of a running process: another gotrace attaches to it for that long, and hands back what it saw.
//!
//! It is a process of its own so that what it needs in memory goes with it, and what goes wrong with one binary goes
//! wrong there. It puts no probe on an instruction (`--no-gc`), so it can be killed at any time: what it has in the
//! kernel goes with its descriptors.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, oneshot, watch};

use super::state::Shared;
use crate::export::printable;
use crate::target::process_identity::ProcessIdentity;
use crate::units::Nanos;

/// So many are collected at a time.
const MOST: usize = 2;

/// It may come so much later than its time is over: on a busy machine it takes long to load the programs and to read a
/// binary of hundreds of megabytes. With the longest time it is less than a connection may last.
const GRACE: Duration = Duration::from_secs(45);

/// Nothing larger is collected.
const LARGEST: u64 = 32 << 20;

/// So much of what is said about a failure.
const MOST_SAID: u64 = 2048;

/// What is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A profile of where it is on a CPU.
    OnCpu,
    /// A profile of what it is blocked on.
    Blocked,
    /// The report on that, as NDJSON.
    BlockedReport,
}

/// Why there is none.
#[derive(Debug, Error)]
pub(super) enum CollectError {
    /// Others are being collected.
    #[error("{MOST} collections are under way already; try again later")]
    Busy,
    /// The agent may not, or ends.
    #[error("nothing is looked at now: /readyz says why")]
    Off,
    /// The process cannot be looked at.
    #[error("{0}")]
    Target(String),
    /// Nothing can be on this machine.
    #[error("{0}")]
    Unfit(String),
    /// It failed otherwise.
    #[error("it could not be collected: {0}")]
    Failed(String),
    /// It did not end.
    #[error("it did not come in time")]
    Late,
}

/// Of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) pid: u32,
    pub(super) identity: ProcessIdentity,
}

impl Target {
    /// The process of that number, if it is one that is looked at, and runs.
    pub(super) fn of(state: &Shared, pid: u32) -> Option<Self> {
        let state = state.lock();
        let running = state.registry.get(pid)?;
        // It may have ended since, and another one have its number; or it became another program.
        let identity = running.process.is_who().filter(|identity| identity.file == running.file)?;
        Some(Self { pid, identity })
    }
}

/// The collections, a few at a time.
#[derive(Debug)]
pub struct Collections {
    /// What is started: gotrace itself.
    program: PathBuf,
    room: Arc<Semaphore>,
    allowed: watch::Sender<bool>,
}

impl Collections {
    /// By gotrace itself; none is allowed yet.
    #[must_use]
    pub fn of_gotrace() -> Self {
        // The file that runs, whatever its path names by now.
        Self::by(PathBuf::from("/proc/self/exe"))
    }

    fn by(program: PathBuf) -> Self {
        Self { program, room: Arc::new(Semaphore::new(MOST)), allowed: watch::Sender::new(false) }
    }

    /// From now on some may be collected, or none: then those under way end.
    pub fn allow(&self, allowed: bool) {
        self.allowed.send_replace(allowed);
    }

    /// Waits until none is under way, for so long. Whether that is so.
    #[must_use]
    pub fn wait_for_end(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.room.available_permits() < MOST {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Collects one. When nobody waits for it any more it ends.
    pub(super) async fn collect(
        &self,
        target: Target,
        subject: Subject,
        time: Duration,
    ) -> Result<Vec<u8>, CollectError> {
        let place = Arc::clone(&self.room).try_acquire_owned().map_err(|_| CollectError::Busy)?;
        let mut allowed = self.allowed.subscribe();
        if !*allowed.borrow_and_update() {
            return Err(CollectError::Off);
        }
        let child = self.command(target, subject, time).spawn();
        let mut child = child.map_err(|error| CollectError::Failed(error.to_string()))?;
        let (mut tell, told) = oneshot::channel();
        tokio::spawn(async move {
            let result = tokio::select! {
                result = hear(&mut child) => result,
                _ = allowed.wait_for(|allowed| !allowed) => Err(CollectError::Off),
                () = tell.closed() => Err(CollectError::Off),
                () = tokio::time::sleep(time + GRACE) => Err(CollectError::Late),
            };
            // Waits for it too: there is room again when all is gone that it had.
            if let Err(error) = child.kill().await {
                tracing::warn!("a collection cannot be ended: {error}");
            }
            drop(place);
            let _ = tell.send(result);
        });
        told.await.unwrap_or(Err(CollectError::Off))
    }

    fn command(&self, Target { pid, identity }: Target, subject: Subject, time: Duration) -> Command {
        let (format, flame, frequency) = match subject {
            Subject::OnCpu => ("pprof", "cpu", "99"),
            Subject::Blocked => ("pprof", "blocked", "0"),
            Subject::BlockedReport => ("ndjson", "blocked", "0"),
        };
        let mut command = Command::new(&self.program);
        command
            .args(["--quiet", "attach", "--format", format, "--no-gc", "--flame", flame])
            .args(["--frequency", frequency, "--duration", &format!("{}s", time.as_secs())])
            .args(["--identity", &identity.to_string(), &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // However the agent ends, this ends with it.
        let die_with_parent = || {
            // SAFETY: it takes numbers only.
            match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec it makes one system call.
        unsafe { command.pre_exec(die_with_parent) };
        command
    }
}

/// Processor time of all collections that are over: nothing else is started by the agent.
pub(super) fn collections_time() -> Nanos {
    let all = getrusage(UsageWho::RUSAGE_CHILDREN).map(|usage| {
        let of =
            |time: TimeVal| Nanos(u64::try_from(time.num_microseconds()).unwrap_or(0).saturating_mul(1000));
        of(usage.user_time()).plus(of(usage.system_time()))
    });
    all.unwrap_or_default()
}

/// What it writes, when it has ended.
async fn hear(child: &mut Child) -> Result<Vec<u8>, CollectError> {
    let failed = |error: io::Error| CollectError::Failed(error.to_string());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, said) = tokio::join!(read(out, LARGEST + 1), read(err, MOST_SAID));
    let (out, said) = (out.map_err(failed)?, said.map_err(failed)?);
    if out.len() as u64 > LARGEST {
        return Err(CollectError::Failed(format!("it is larger than {LARGEST} bytes")));
    }
    let status = child.wait().await.map_err(failed)?;
    judge(status, out, &said)
}

async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(most).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// By its exit code, as people know it (README.md, "Exit codes"); what was lost it tells itself.
fn judge(status: ExitStatus, out: Vec<u8>, said: &[u8]) -> Result<Vec<u8>, CollectError> {
    let said = String::from_utf8_lossy(said);
    let said = said.trim().strip_prefix("gotrace: ").unwrap_or(said.trim());
    let said = said.lines().map(printable).collect::<Vec<_>>().join(" ");
    match status.code() {
        Some(0 | 5) if !out.is_empty() => Ok(out),
        Some(3) => Err(CollectError::Unfit(said)),
        Some(4) => Err(CollectError::Target(said)),
        _ if said.is_empty() => Err(CollectError::Failed(status.to_string())),
        _ => Err(CollectError::Failed(said)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::target::process::Process;

    /// A program that does that instead of attaching.
    fn collections(script: &str) -> (tempfile::TempDir, Arc<Collections>) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("collect");
        std::fs::write(&program, format!("#!/bin/sh\n[ $# -gt 0 ] || exit 0\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        // Until no other test's child has it open any more, to write.
        while std::process::Command::new(&program).status().is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let collections = Collections::by(program);
        collections.allow(true);
        (folder, Arc::new(collections))
    }

    async fn collect(collections: &Collections) -> Result<Vec<u8>, CollectError> {
        let pid = std::process::id();
        let identity = Process::of_pid(pid).unwrap().is_who().unwrap();
        collections.collect(Target { pid, identity }, Subject::OnCpu, Duration::from_secs(1)).await
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn its_exit_code_and_words_say_what_became_of_it() {
        let told = |script: &str| {
            let (_folder, collections) = collections(script);
            block_on(collect(&collections))
        };
        assert_eq!(told("printf 'a\\033[0mb'").unwrap(), b"a\x1b[0mb");
        assert_eq!(told("printf lossy; exit 5").unwrap(), b"lossy");
        let error = told("echo 'gotrace: there is no process 7' >&2; exit 4").unwrap_err();
        assert!(matches!(&error, CollectError::Target(said) if said == "there is no process 7"), "{error:?}");
        let error = told("printf 'gotrace: a\\033[2J\\nb' >&2; exit 3").unwrap_err();
        assert!(matches!(&error, CollectError::Unfit(said) if said == r"a\u{1b}[2J b"), "{error:?}");
        assert!(matches!(told("exit 0").unwrap_err(), CollectError::Failed(_)));
        assert!(matches!(told("kill -9 $$").unwrap_err(), CollectError::Failed(_)));
        // More words than anybody reads.
        let error = told("yes >&2; exit 1").unwrap_err();
        assert!(matches!(&error, CollectError::Failed(said) if said.len() as u64 <= MOST_SAID), "{error:?}");
    }

    #[test]
    fn who_waits_no_more_makes_room_and_the_end_waits_for_nobody() {
        let (folder, collections) = collections("echo $$ >> \"$0.pids\"; exec sleep 60");
        block_on(async {
            let both = async { tokio::join!(collect(&collections), collect(&collections)) };
            let third = async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                collect(&collections).await
            };
            let third = tokio::select! {
                third = third => third,
                _ = both => panic!("they sleep"),
            };
            assert!(matches!(third, Err(CollectError::Busy)), "{third:?}");
            // Nobody waits for the two any more.
            while collections.room.available_permits() < MOST {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let stopped = async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                collections.allow(false);
            };
            let (result, ()) = tokio::join!(collect(&collections), stopped);
            assert!(matches!(result, Err(CollectError::Off)), "{result:?}");
            let result = collect(&collections).await;
            assert!(matches!(result, Err(CollectError::Off)), "{result:?}");
        });
        assert!(collections.wait_for_end(Duration::ZERO));
        let pids = std::fs::read_to_string(folder.path().join("collect.pids")).unwrap();
        assert_eq!(pids.lines().count(), 3);
        for pid in pids.lines() {
            assert!(!std::path::Path::new("/proc").join(pid).exists(), "{pid}");
        }
    }
}
