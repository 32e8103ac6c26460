//! Tries it: loads the programs of a start, attaches them to gotrace itself, and reads what they write.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::{Check, Verdict};
use crate::event::{Decoder, EventKind};
use crate::probe::attach::AttachError;
use crate::probe::load::{LoadError, LoadOptions, Loaded, config_of};
use crate::probe::{own_site, pass_own_site};
use crate::stream::Ring;
use crate::target::pid_namespace;

/// A record is in the ring when the probed instruction has run.
const PATIENCE: Duration = Duration::from_secs(1);

/// What went wrong, by the step.
#[derive(Debug, Error)]
enum Failure {
    #[error("gotrace cannot look at itself: {0}")]
    Own(#[from] io::Error),
    #[error("loading: {0}")]
    Load(#[from] LoadError),
    #[error("attaching: {0}")]
    Attach(#[from] AttachError),
    #[error("reading: the probe was passed, and no record of it came")]
    Silent,
}

/// Loads, attaches to itself, reads. Only of use when nothing else that was looked at fails.
#[must_use]
pub fn trial() -> Check {
    const NAME: &str = "trial";
    let begun = Instant::now();
    match attempt() {
        Ok(()) => Check::ok(
            NAME,
            format!("loaded, attached to gotrace itself, read: {} ms", begun.elapsed().as_millis()),
        ),
        Err(failure) => Check {
            name: NAME,
            verdict: Verdict::Fail,
            found: failure.with_cause(),
            consequence: "no program can be traced, though all that it takes seems to be there",
            fix: failure.fix(),
        },
    }
}

fn attempt() -> Result<(), Failure> {
    let site = own_site()?;
    let own = File::open("/proc/self/exe")?;
    let pid = std::process::id();
    let config = config_of(pid, pid_namespace::current()?);
    let mut loaded = Loaded::load(&LoadOptions::of_start(config))?;
    let (mut ring, mut decoder) = (Ring::of(&mut loaded, false)?, Decoder::default());
    let _attached = loaded.attach(&own, &[site], pid)?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        // A system call, by which the programs come to know the process, and the instruction.
        thread::sleep(Duration::from_millis(1));
        pass_own_site();
        let mut events = ring.take().into_iter().filter_map(|record| decoder.decode(&record));
        if events.any(|event| matches!(event.kind, EventKind::Hit(_))) {
            return Ok(());
        }
    }
    Err(Failure::Silent)
}

impl Failure {
    /// In words, with the kernel's own where they are not among them.
    fn with_cause(&self) -> String {
        let text = self.to_string();
        match errno(self).map(|code| io::Error::from_raw_os_error(code).to_string()) {
            Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
            _ => text,
        }
    }

    fn fix(&self) -> String {
        let fix = match (self, errno(self)) {
            (Self::Load(LoadError::NoObject), _) => "cargo xtask setup && cargo build --release",
            (_, Some(libc::EPERM | libc::EACCES)) => {
                "sudo gotrace doctor; in a container also a seccomp profile that allows bpf and perf_event_open \
                 (podman and docker: --security-opt seccomp=unconfined), and an AppArmor or SELinux policy that does"
            }
            (_, Some(libc::ENOMEM)) => {
                "more memory for this control group; before Linux 5.11 also ulimit -l unlimited"
            }
            (_, Some(libc::EMFILE | libc::ENFILE)) => "more open files: ulimit -n 1024",
            (Self::Own(_), _) => "mount /proc, and let gotrace read /proc/self",
            (Self::Silent, _) => {
                "nothing that is known: please report it, with the kernel's version (uname -r)"
            }
            (Self::Load(_) | Self::Attach(_), _) => {
                "nothing that is known: please report it, with this message, the verifier's log if it names one, \
                 and the kernel's version (uname -r)"
            }
        };
        fix.to_owned()
    }
}

/// The kernel's error at the bottom of it, if there is one.
fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_fix() {
        let refused = |error| {
            Failure::Load(LoadError::Refused {
                program: "startup",
                source: io::Error::from_raw_os_error(error),
                log: "log".into(),
            })
        };
        assert!(refused(libc::EPERM).fix().contains("seccomp"));
        assert_eq!(refused(libc::EPERM).with_cause().matches("not permitted").count(), 1);
        assert!(refused(libc::ENOMEM).fix().contains("memory"));
        assert!(refused(libc::EINVAL).fix().contains("verifier's log"));
        assert!(Failure::Silent.fix().contains("uname"));
        assert!(Failure::Load(LoadError::NoObject).fix().contains("cargo"));
        let sites = AttachError::Sites { sites: 1, source: io::Error::from_raw_os_error(libc::EACCES) };
        assert!(Failure::Attach(sites).fix().contains("sudo"));
    }
}
