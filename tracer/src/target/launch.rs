//! Starts a command that waits, before its execve, until the probes are in place.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::Path;
use std::thread::JoinHandle;

pub use super::spawn::Child;
use super::spawn::Image;
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
    reports: PipeReader,
    spawner: Option<JoinHandle<io::Result<Child>>>,
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
            in_child.stamp()
        };

        // `spawn` returns when the child has executed, so it needs a thread of its own.
        let spawner = std::thread::Builder::new().name("spawn".to_owned()).spawn(move || {
            // SAFETY: `before` makes system calls only, on descriptors and memory that exist already.
            let result = unsafe { image.spawn(&before) };
            drop((wait_for_go, to_parent));
            result
        })?;

        let mut pid = [0; 4];
        match reports.read_exact(&mut pid) {
            Ok(()) => {
                Ok(Gated { pid: u32::from_ne_bytes(pid), gate: Some(gate), reports, spawner: Some(spawner) })
            }
            Err(error) => {
                drop(gate);
                Err(join(Some(spawner)).err().unwrap_or(error))
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

    /// Lets the child execute its program, and waits until it has.
    ///
    /// # Errors
    /// When the execve fails, for the reason that it gave.
    pub fn release(mut self) -> io::Result<(Child, ExecStamp)> {
        if let Some(mut gate) = self.gate.take() {
            gate.write_all(&[1])?;
        }
        // Whoever waited for the stamp would be woken beside the program's first steps.
        let child = join(self.spawner.take())?;
        let mut stamp = [0; STAMP_LEN];
        self.reports.read_exact(&mut stamp)?;
        let (boot, wall) = stamp.split_at(STAMP_LEN / 2);
        Ok((child, ExecStamp { boot: Nanos(word(boot)), wall_unix: word(wall) }))
    }
}

impl Drop for Gated {
    /// The child reads the end of the gate, and leaves. Its word of that must find its reader, or it complains.
    fn drop(&mut self) {
        drop(self.gate.take());
        let _ = join(self.spawner.take());
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}

fn join(spawner: Option<JoinHandle<io::Result<Child>>>) -> io::Result<Child> {
    let started = spawner.and_then(|spawner| spawner.join().ok());
    started.unwrap_or_else(|| Err(io::Error::other("the thread that starts the command failed")))
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
        let (child, stamp) = gated.release().unwrap();
        assert!(stamp.boot >= before);
        assert_eq!(child.wait().unwrap().code(), Some(7));
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
        let error = launch.fork().unwrap().release().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
