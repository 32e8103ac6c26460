//! Starts a command that waits, before its execve, until the probes are in place.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::Path;
use std::process::ExitStatus;

use tokio::sync::oneshot;

pub use super::spawn::NoEnd;
use super::spawn::{Image, nap};
use super::user::{InvokingUser, become_user};
use crate::units::Nanos;

/// What the child reports just before its execve: boot clock and wall clock, in nanoseconds.
const STAMP_LEN: usize = 16;

/// What to start and as whom. Everything else (environment, standard streams, working directory, process
/// group, limits) the child has from gotrace, as it would have from the shell.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The file to execute.
    pub program: &'a Path,
    /// The command's name as the user gave it: `argv[0]`.
    pub name: &'a OsStr,
    /// Its arguments.
    pub arguments: &'a [OsString],
    /// The user to become; none to stay who gotrace is.
    pub user: Option<InvokingUser>,
    /// Whether its standard output goes where gotrace's standard error goes, because the report needs
    /// standard output for itself.
    pub stdout_to_stderr: bool,
}

/// A forked child that has not executed its program yet. Dropping it ends the child, which never ran its program.
#[derive(Debug)]
pub struct Gated {
    pid: u32,
    gate: Option<PipeWriter>,
    child: Option<Released>,
}

/// A child that becomes its program, or has.
#[derive(Debug)]
pub struct Released {
    /// How it ended, once it has.
    pub end: oneshot::Receiver<Result<ExitStatus, NoEnd>>,
    reports: PipeReader,
}

/// The child's last word before it became the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecStamp {
    /// When it called execve, on the boot clock.
    pub boot: Nanos,
    /// The same moment on the wall clock, in nanoseconds since 1970.
    pub wall_unix: u64,
}

impl Launch<'_> {
    /// Forks. The child stops short of its execve.
    ///
    /// # Errors
    /// When there can be no further process.
    pub fn fork(self) -> io::Result<Gated> {
        let (wait_for_go, gate) = io::pipe()?;
        let (mut reports, to_parent) = io::pipe()?;
        let in_child = ChildEnds {
            gate: wait_for_go.as_raw_fd(),
            reports: to_parent.as_raw_fd(),
            of_parent: [gate.as_raw_fd(), reports.as_raw_fd()],
        };
        let image = self.image()?;
        let user = match &self.user {
            Some(user) => Some((user.uid, user.gid, user.groups()?)),
            None => None,
        };
        let stdout_to_stderr = self.stdout_to_stderr;
        let before = move || {
            if stdout_to_stderr {
                redirect(libc::STDERR_FILENO, libc::STDOUT_FILENO)?;
            }
            in_child.report_and_wait()?;
            if let Some((uid, gid, groups)) = &user {
                become_user(*uid, *gid, groups)?;
            }
            nap();
            in_child.stamp()
        };

        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name("child".to_owned()).spawn(move || {
            let ends = (wait_for_go, to_parent);
            // SAFETY: `before` makes system calls only, on descriptors and memory that exist already, and to close one
            // is nothing else.
            let result = unsafe { image.run(&before, || drop(ends)) };
            // Whoever asked may have gone.
            drop(ended.send(result));
        })?;

        let mut pid = [0; 4];
        match reports.read_exact(&mut pid) {
            Ok(()) => {
                let pid = u32::from_ne_bytes(pid);
                Ok(Gated { pid, gate: Some(gate), child: Some(Released { end, reports }) })
            }
            Err(error) => {
                drop(gate);
                Err(match end.blocking_recv() {
                    Ok(Err(NoEnd::NotExecuted(reason))) => reason,
                    _ => error,
                })
            }
        }
    }

    fn image(&self) -> io::Result<Image> {
        let (name, arguments) = (std::iter::once(self.name), self.arguments.iter().map(OsString::as_os_str));
        let arguments: Vec<&OsStr> = name.chain(arguments).collect();
        let Some(user) = &self.user else { return Image::new(self.program.as_os_str(), &arguments, &[]) };
        // What sudo set to root's; a program must find its own files where it would without gotrace.
        let home = user.home();
        let mut variables = vec![("USER", user.name.as_os_str()), ("LOGNAME", user.name.as_os_str())];
        variables.extend(home.as_ref().map(|home| ("HOME", home.as_os_str())));
        Image::new(self.program.as_os_str(), &arguments, &variables)
    }
}

impl Gated {
    /// The child's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets the child execute its program. Nothing is told when it has: whoever waited for that would be woken beside the
    /// program's first steps, or in their place.
    ///
    /// # Errors
    /// When the child has gone.
    pub fn release(mut self) -> io::Result<Released> {
        let gone = || io::Error::other("the process that was to become the command has gone");
        self.gate.take().ok_or_else(gone)?.write_all(&[1])?;
        self.child.take().ok_or_else(gone)
    }
}

impl Drop for Gated {
    /// The child reads the end of the gate, and leaves. Its word of that must find its reader, or it complains.
    fn drop(&mut self) {
        drop(self.gate.take());
        if let Some(child) = &mut self.child {
            let _ = child.reports.read(&mut [0; 1]);
        }
    }
}

impl Released {
    /// When it called execve. Waits for that, which comes next.
    ///
    /// # Errors
    /// When it did not come to it.
    pub fn stamp(&mut self) -> io::Result<ExecStamp> {
        let mut stamp = [0; STAMP_LEN];
        self.reports.read_exact(&mut stamp)?;
        let (boot, wall) = stamp.split_at(STAMP_LEN / 2);
        Ok(ExecStamp { boot: Nanos(word(boot)), wall_unix: word(wall) })
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}

/// In the child: makes the descriptor `to` another name for what `from` stands for.
fn redirect(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: the call has no preconditions.
    if unsafe { libc::dup2(from, to) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The pipes' descriptors, as the child finds them after the fork.
#[derive(Clone, Copy)]
struct ChildEnds {
    gate: RawFd,
    reports: RawFd,
    of_parent: [RawFd; 2],
}

impl ChildEnds {
    /// In the child: tells its pid, and waits for the word to go on.
    fn report_and_wait(self) -> io::Result<()> {
        for fd in self.of_parent {
            // The child's copies would keep the gate from ever ending when gotrace dies.
            // SAFETY: these are the child's own copies, which nothing in the child uses.
            unsafe { libc::close(fd) };
        }
        // SAFETY: the call has no preconditions and cannot fail.
        let pid = unsafe { libc::getpid() };
        write_all(self.reports, &pid.to_ne_bytes())?;
        let mut go = [0_u8; 1];
        loop {
            // SAFETY: `go` has room for one byte.
            match unsafe { libc::read(self.gate, go.as_mut_ptr().cast(), 1) } {
                1 => return Ok(()),
                // gotrace gave up, or is gone.
                0 => return Err(io::Error::from_raw_os_error(libc::ECANCELED)),
                _ if interrupted() => {}
                _ => return Err(io::Error::last_os_error()),
            }
        }
    }

    /// In the child: stamps the time, just before the execve.
    fn stamp(self) -> io::Result<()> {
        let mut stamp = [0; STAMP_LEN];
        stamp[..8].copy_from_slice(&clock(libc::CLOCK_BOOTTIME).to_ne_bytes());
        stamp[8..].copy_from_slice(&clock(libc::CLOCK_REALTIME).to_ne_bytes());
        write_all(self.reports, &stamp)
    }
}

fn write_all(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    loop {
        // SAFETY: `bytes` is a slice of that length. A pipe takes this few bytes whole or not at all.
        let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        if written.cast_unsigned() == bytes.len() {
            return Ok(());
        }
        if !interrupted() {
            return Err(io::Error::last_os_error());
        }
    }
}

fn interrupted() -> bool {
    io::Error::last_os_error().raw_os_error() == Some(libc::EINTR)
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable; both clocks exist on every kernel that gotrace supports.
    unsafe { libc::clock_gettime(id, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(arguments: &[OsString]) -> Launch<'_> {
        let program = Path::new("/bin/sh");
        Launch { program, name: OsStr::new("sh"), arguments, user: None, stdout_to_stderr: false }
    }

    #[test]
    fn the_program_runs_only_after_its_release() {
        let directory = tempfile::tempdir().unwrap();
        let witness = directory.path().join("ran");
        let script = OsString::from(format!("echo $0 > {}; exit 7", witness.display()));
        let arguments = [OsString::from("-c"), script, OsString::from("name")];
        let gated = shell(&arguments).fork().unwrap();
        assert!(gated.pid() > 1);
        assert!(!witness.exists());
        let before = Nanos(clock(libc::CLOCK_BOOTTIME));
        let mut child = gated.release().unwrap();
        assert!(child.stamp().unwrap().boot >= before);
        assert_eq!(child.end.blocking_recv().unwrap().unwrap().code(), Some(7));
        assert_eq!(std::fs::read_to_string(witness).unwrap(), "name\n");
    }

    #[test]
    fn a_dropped_child_never_runs() {
        let directory = tempfile::tempdir().unwrap();
        let witness = directory.path().join("ran");
        let arguments = [OsString::from("-c"), OsString::from(format!("touch {}", witness.display()))];
        drop(shell(&arguments).fork().unwrap());
        assert!(!witness.exists());
    }

    #[test]
    fn a_file_that_cannot_be_executed_says_why() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let launch = Launch {
            program: file.path(),
            name: OsStr::new("x"),
            arguments: &[],
            user: None,
            stdout_to_stderr: false,
        };
        let end = launch.fork().unwrap().release().unwrap().end.blocking_recv().unwrap();
        assert!(
            matches!(&end, Err(NoEnd::NotExecuted(error)) if error.kind() == io::ErrorKind::PermissionDenied),
            "{end:?}"
        );
    }
}
