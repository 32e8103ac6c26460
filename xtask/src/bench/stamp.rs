//! Starts a program as gotrace starts its own, and notes the moment just before its execve, the zero of a startup.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::process::{Command, Output};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::spawn::{Image, nap};
use crate::exec::line;

/// Nanoseconds since 1970.
pub(crate) fn wall_clock() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos().cast_signed())
}

/// Runs a program to its end, without input. The last thing that the new process does before it becomes the program is to
/// say when. It has no memory of its own until then: an execve takes down what there was before, on the program's time,
/// and gotrace's has nothing to take down.
pub(crate) fn run(command: &Command) -> Result<(i128, Output)> {
    started(command).with_context(|| format!("starting {}", line(command)))
}

fn started(command: &Command) -> Result<(i128, Output)> {
    let arguments: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).collect();
    let image = Image::new(command.get_program(), &arguments, &[])?;
    let [(stdout, to_stdout), (stderr, to_stderr), (mut stamps, to_stamps)] =
        [io::pipe()?, io::pipe()?, io::pipe()?];
    let nothing = File::open("/dev/null").context("opening /dev/null")?;
    let standard = [nothing.as_raw_fd(), to_stdout.as_raw_fd(), to_stderr.as_raw_fd()];
    let stamp_to = to_stamps.as_raw_fd();
    let ends: ([PipeWriter; 3], File) = ([to_stdout, to_stderr, to_stamps], nothing);
    // In a thread of its own, which no signal reaches any more.
    let child = thread::spawn(move || {
        let before = || {
            for (to, from) in (0..).zip(standard) {
                // SAFETY: the call has no preconditions.
                if unsafe { libc::dup2(from, to) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            stamp(stamp_to)
        };
        // SAFETY: `before` makes system calls only, on descriptors that exist already; to close them is nothing else.
        unsafe { image.run(&before, || drop(ends)) }
    });
    let (stdout, stderr) = (gathered(stdout), gathered(stderr));
    let status = child.join().map_err(|_| io::Error::other("the thread that starts it failed"))??;
    // Not before: it would wake this thread beside the program's first steps.
    let mut at = [0; 16];
    stamps.read_exact(&mut at).context("the start was not noted")?;
    let gathered = |thread: thread::JoinHandle<io::Result<Vec<u8>>>| {
        thread.join().map_err(|_| io::Error::other("the thread that reads its output failed"))?
    };
    Ok((i128::from_ne_bytes(at), Output { status, stdout: gathered(stdout)?, stderr: gathered(stderr)? }))
}

/// In the child, after gotrace's own rest: it is to come from an idle processor as well.
fn stamp(to: RawFd) -> io::Result<()> {
    nap();
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable, and the clock exists.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    let at = (i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)).to_ne_bytes();
    // SAFETY: `at` is readable. A pipe takes so few bytes whole.
    let written = unsafe { libc::write(to, at.as_ptr().cast(), at.len()) };
    if written.cast_unsigned() == at.len() { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn gathered(mut from: PipeReader) -> thread::JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).map(|_| all)
    })
}
