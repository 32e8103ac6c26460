//! What a system call that has not returned is about.

use syscalls::Sysno;

use super::memory::Memory;
use super::process::Process;
use super::thread::SystemCall;
use crate::units::{Nanos, RuntimeAddr};

/// What a call waits for, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallObject {
    /// The descriptor, when it has one.
    pub fd: Option<u64>,
    /// What it stands for, or the path, or how long.
    pub object: Option<String>,
}

/// Where a call's arguments say what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// The first argument is a descriptor.
    Descriptor,
    /// That argument is the address of a path.
    Path(usize),
    /// That argument is the address of a time.
    Time(usize),
    /// The first argument is the address of a word.
    Word,
    Unknown,
}

impl SystemCall {
    /// The call's name; none for a number that is not known.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        Some(self.sysno()?.name())
    }

    fn sysno(&self) -> Option<Sysno> {
        Sysno::new(usize::try_from(self.number).ok()?)
    }

    /// What it is about. The arguments point into the process's memory, which does not change while the call
    /// lasts unless another of its threads changes it.
    #[must_use]
    pub fn object(&self, process: &Process, memory: &impl Memory) -> CallObject {
        let none = CallObject { fd: None, object: None };
        let Some(sysno) = self.sysno() else { return none };
        match subject(sysno) {
            Subject::Descriptor => {
                // An int: what is above its 32 bits is not a part of it.
                let fd = self.arguments[0] & 0xffff_ffff;
                CallObject { fd: Some(fd), object: process.object(fd) }
            }
            Subject::Path(argument) => {
                let path = memory.text(RuntimeAddr(self.arguments[argument]));
                CallObject { fd: None, object: path.map(|path| format!("file {path}")) }
            }
            Subject::Time(argument) => {
                let at = RuntimeAddr(self.arguments[argument]);
                let time = || {
                    let (seconds, part) =
                        (memory.u64(at).ok()?, memory.u64(RuntimeAddr(at.0.checked_add(8)?)).ok()?);
                    Some(Nanos(seconds.checked_mul(1_000_000_000)?.checked_add(part)?))
                };
                let is_moment = sysno == Sysno::clock_nanosleep && self.arguments[1] != 0;
                let time = if is_moment { None } else { time() };
                CallObject {
                    fd: None,
                    object: time.map(|time| format!("of {:.3} s", time.as_millis_f64() / 1e3)),
                }
            }
            Subject::Word => {
                CallObject { fd: None, object: Some(format!("the word at {:#x}", self.arguments[0])) }
            }
            Subject::Unknown => none,
        }
    }
}

/// The calls that programs wait in.
fn subject(sysno: Sysno) -> Subject {
    use Sysno as S;
    match sysno {
        S::read
        | S::write
        | S::pread64
        | S::pwrite64
        | S::readv
        | S::writev
        | S::preadv
        | S::pwritev
        | S::preadv2
        | S::pwritev2
        | S::recvfrom
        | S::sendto
        | S::recvmsg
        | S::sendmsg
        | S::recvmmsg
        | S::sendmmsg
        | S::connect
        | S::accept
        | S::accept4
        | S::close
        | S::fsync
        | S::fdatasync
        | S::ftruncate
        | S::fallocate
        | S::flock
        | S::fcntl
        | S::ioctl
        | S::epoll_pwait
        | S::epoll_pwait2
        | S::getdents64
        | S::sendfile
        | S::splice
        | S::shutdown
        | S::lseek
        | S::syncfs
        | S::fstat
        | S::fstatfs
        | S::sync_file_range => Subject::Descriptor,
        #[cfg(target_arch = "x86_64")]
        S::epoll_wait => Subject::Descriptor,
        #[cfg(target_arch = "x86_64")]
        S::open
        | S::stat
        | S::lstat
        | S::access
        | S::mkdir
        | S::rmdir
        | S::unlink
        | S::rename
        | S::readlink => Subject::Path(0),
        S::statfs | S::chdir | S::execve | S::truncate => Subject::Path(0),
        S::openat
        | S::openat2
        | S::newfstatat
        | S::statx
        | S::unlinkat
        | S::mkdirat
        | S::readlinkat
        | S::faccessat
        | S::faccessat2
        | S::renameat
        | S::renameat2
        | S::execveat => Subject::Path(1),
        S::nanosleep => Subject::Time(0),
        S::clock_nanosleep => Subject::Time(2),
        S::futex => Subject::Word,
        _ => Subject::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_names_what_it_is_about() {
        let process = Process::find(&std::process::id().to_string()).unwrap();
        let memory = process.memory().unwrap();
        let about = |sysno: Sysno, arguments| {
            let call = SystemCall { number: sysno as u64, arguments };
            assert_eq!(call.name(), Some(sysno.name()));
            call.object(&process, &memory)
        };
        let path = c"/nowhere";
        let open = about(Sysno::openat, [0, path.as_ptr() as u64, 0, 0, 0, 0]);
        assert_eq!(open.object.as_deref(), Some("file /nowhere"));
        let time = [2_u64, 500_000_000];
        let sleep = about(Sysno::nanosleep, [time.as_ptr() as u64, 0, 0, 0, 0, 0]);
        assert_eq!(sleep.object.as_deref(), Some("of 2.500 s"));
        let read = about(Sysno::read, [1 << 20, 0, 0, 0, 0, 0]);
        assert_eq!(read, CallObject { fd: Some(1 << 20), object: None });
        assert_eq!(about(Sysno::getpid, [0; 6]), CallObject { fd: None, object: None });
        assert_eq!(SystemCall { number: u64::MAX, arguments: [0; 6] }.name(), None);
    }
}
