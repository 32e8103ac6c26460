//! Which running process is meant, and what the kernel says of it as a whole.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::capabilities::{Capability, Rights};
use super::descriptor::{Identity, identity};
use super::gobin::{GoBinary, Landmarks};
use super::maps::Mapping;
use super::memory::{Memory as _, ProcessMemory};
pub use super::process_error::ProcessError;
use super::rows::Rows;
use super::stat::Stat;
use crate::units::{Nanos, RuntimeAddr, clock_time};

/// `PF_KTHREAD` (include/linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What the kernel puts behind the path of a file that is no longer there (fs/d_path.c).
pub(super) const DELETED: &[u8] = b" (deleted)";

/// A running process. All that is read of it goes through its own open folder in /proc: should the process end,
/// reads fail, and never reach another one that was given its number.
#[derive(Debug)]
pub struct Process {
    /// Its number, as gotrace's own PID namespace counts.
    pub pid: u32,
    folder: File,
}

impl Process {
    /// The process of that number.
    ///
    /// # Errors
    /// When there is none, or nothing that can be looked at.
    pub fn of_pid(pid: u32) -> Result<Self, ProcessError> {
        let path = format!("/proc/{pid}");
        let folder = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(path);
        let process = Self { pid, folder: folder.map_err(|_| ProcessError::Gone { pid })? };
        process.check()?;
        Ok(process)
    }

    /// Whether it is a process, and still runs.
    fn check(&self) -> Result<(), ProcessError> {
        let pid = self.pid;
        let status = fs::read_to_string(self.path("status")).map_err(|_| ProcessError::Gone { pid })?;
        if let Some(owner) = number_after(&status, "Tgid:")
            && owner != pid
        {
            return Err(ProcessError::Thread { tid: pid, pid: owner });
        }
        let stat = self.stat()?;
        if stat.flags & KERNEL_THREAD != 0 {
            return Err(ProcessError::Kernel { pid, name: stat.name });
        }
        if matches!(stat.state, 'Z' | 'X') {
            return Err(ProcessError::Zombie { pid, name: stat.name });
        }
        Ok(())
    }

    /// The path of one of its files in /proc.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()))
    }

    /// Its executable's path, as its own mount namespace has it; that may be deleted.
    #[must_use]
    pub fn exe(&self) -> PathBuf {
        fs::read_link(self.path("exe")).unwrap_or_else(|_| PathBuf::from("?"))
    }

    /// Which file that is, whatever its path names by now; none when it may not be looked at, or is none, as of the
    /// kernel's own threads.
    #[must_use]
    pub fn exe_identity(&self) -> Option<Identity> {
        identity(&self.path("exe"))
    }

    /// Whether that file is no longer what its path names, in its own mount namespace.
    #[must_use]
    pub fn exe_is_deleted(&self) -> bool {
        self.exe().as_os_str().as_bytes().ends_with(DELETED)
    }

    /// What somebody should know before looking into it, in sentences.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(tracer) = self.tracer() {
            notes.push(format!(
                "process {} is being traced by another program, {tracer}, which may stop it at any time",
                self.pid,
            ));
        }
        if self.exe_is_deleted() {
            notes.push(format!(
                "the binary of process {} was deleted or replaced after it began; what it runs is what is read",
                self.pid
            ));
        }
        notes
    }

    /// The program that has it under ptrace, by name and number.
    #[must_use]
    pub fn tracer(&self) -> Option<String> {
        let status = fs::read_to_string(self.path("status")).ok()?;
        let tracer = number_after(&status, "TracerPid:").filter(|tracer| *tracer != 0)?;
        let name = fs::read_to_string(format!("/proc/{tracer}/comm")).unwrap_or_default();
        Some(format!("{} ({tracer})", name.trim_end()))
    }

    /// Its executable, open: the very file that runs, whatever its path names by now and in whatever mount
    /// namespace.
    ///
    /// # Errors
    /// When the kernel does not let us, or the process has ended.
    pub fn open_exe(&self) -> Result<File, ProcessError> {
        File::open(self.path("exe")).map_err(|error| self.failed("its executable", &error))
    }

    /// Its memory, to read.
    ///
    /// # Errors
    /// When the kernel does not let us, or the process has ended.
    pub fn memory(&self) -> Result<ProcessMemory, ProcessError> {
        File::open(self.path("mem")).map(ProcessMemory).map_err(|error| self.failed("its memory", &error))
    }

    /// What the kernel counts of it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn stat(&self) -> Result<Stat, ProcessError> {
        let text = fs::read(self.path("stat")).map_err(|error| self.failed("stat", &error))?;
        Stat::parse(&text)
            .ok_or_else(|| ProcessError::Unreadable { pid: self.pid, what: "its stat".to_owned() })
    }

    /// Whether it has ended, be its parent told of it or not.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.stat().map_or(true, |stat| matches!(stat.state, 'Z' | 'X'))
    }

    /// How long all of its threads together have been on a processor; none when the kernel does not tell.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Nanos> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: `clock` is writable.
        if unsafe { libc::clock_getcpuclockid(libc::pid_t::try_from(self.pid).ok()?, &raw mut clock) } != 0 {
            return None;
        }
        let time = clock_time(clock)?;
        // The clock goes by the number, which is still this process's when the process is still there.
        self.stat().ok().map(|_| time)
    }

    /// By how much its addresses are larger than its binary's. It is proven on its memory: what the file has
    /// at the binary's own tables must be there.
    ///
    /// # Errors
    /// When another program is in its memory, or it cannot be read.
    pub fn load_bias(&self, binary: &GoBinary, memory: &ProcessMemory) -> Result<u64, ProcessError> {
        self.load_bias_by(&binary.landmarks(), binary.path(), memory)
    }

    /// The same, of a binary whose places in memory are known; the path is for messages only.
    ///
    /// # Errors
    /// As [`Process::load_bias`].
    pub fn load_bias_by(
        &self,
        landmarks: &Landmarks,
        path: &Path,
        memory: &ProcessMemory,
    ) -> Result<u64, ProcessError> {
        let other = |what| ProcessError::OtherProgram { pid: self.pid, exe: path.to_owned(), what };
        let entry = self.entry()?.ok_or_else(|| other("the kernel names no entry point"))?;
        let bias = entry.wrapping_sub(landmarks.entry.0);
        let at = |address: u64| RuntimeAddr(address.wrapping_add(bias));
        let word =
            memory.u64(at(landmarks.moduledata.0)).map_err(|error| self.failed("its memory", &error))?;
        if word != at(landmarks.pclntab.0).0 && word != landmarks.unlinked {
            return Err(other("its tables point elsewhere"));
        }
        let magic = memory.u32(at(landmarks.pclntab.0)).map_err(|error| self.failed("its memory", &error))?;
        if magic != landmarks.magic {
            return Err(other("its function table is another one"));
        }
        Ok(bias)
    }

    /// Where its program begins; none when the kernel names no place. Waits for one that is in the middle of its execve:
    /// it has its new memory and its executable before it has that (fs/binfmt_elf.c, `create_elf_tables`).
    fn entry(&self) -> Result<Option<u64>, ProcessError> {
        const AT_MOST: Duration = Duration::from_secs(1);
        let began = Instant::now();
        loop {
            let auxv = fs::read(self.path("auxv")).map_err(|error| self.failed("auxv", &error))?;
            let entry = aux_value(&auxv, libc::AT_ENTRY);
            if entry.is_some() || began.elapsed() > AT_MOST {
                return Ok(entry);
            }
            // One that ends has no memory any more.
            self.check()?;
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The Go library that it has loaded, if any. Only asked when its executable is not Go.
    #[must_use]
    pub fn go_library(&self) -> Option<(PathBuf, GoBinary)> {
        /// More libraries than programs load.
        const MOST: usize = 512;
        /// In bytes: as many parts as a process may have (`vm.max_map_count`), with paths that are not short.
        const MOST_OF_MAPS: u64 = 16 << 20;
        let mut maps = Rows::new(File::open(self.path("maps")).ok()?, MOST_OF_MAPS);
        let mut seen = BTreeSet::new();
        while seen.len() < MOST
            && let Some(row) = maps.next_row()
        {
            let code = Mapping::parse(row).filter(|mapping| mapping.is_executable);
            let Some(path) = code.and_then(|mapping| mapping.path) else { continue };
            if !seen.insert(path.to_owned()) {
                continue;
            }
            // Its own root: the path is one of its mount namespace's.
            let Ok(inner) = path.strip_prefix("/") else { continue };
            if let Ok(binary) = GoBinary::open(&self.path("root").join(inner)) {
                return Some((path.to_owned(), binary));
            }
        }
        None
    }

    /// Whether its `CLOCK_MONOTONIC` is ours: not in a time namespace of its own.
    #[must_use]
    pub fn shares_clock(&self) -> bool {
        // Kernels before 5.6 have no such namespaces; if ours has, we were not let.
        self.shares("time")
    }

    /// Whether its network namespace is ours.
    #[must_use]
    pub fn shares_network(&self) -> bool {
        self.shares("net")
    }

    fn shares(&self, kind: &str) -> bool {
        let its = fs::read_link(self.path("ns").join(kind)).ok();
        its.is_some() && its == fs::read_link(Path::new("/proc/self/ns").join(kind)).ok()
    }

    /// What to make of an error.
    pub(super) fn failed(&self, what: &str, error: &io::Error) -> ProcessError {
        let pid = self.pid;
        // An address space that no longer is reads as an empty file: the process has ended, or has become
        // another program.
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.check().err().unwrap_or(ProcessError::Replaced { pid });
        }
        match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => ProcessError::Denied { pid, missing: self.missing() },
            Some(libc::ESRCH | libc::ENOENT) => ProcessError::Gone { pid },
            _ => ProcessError::Unreadable { pid, what: format!("{what}: {error}") },
        }
    }

    /// The capabilities that it would take to look into it.
    fn missing(&self) -> Vec<Capability> {
        let rights = Rights::own();
        // Of a process that is not dumpable root is the owner.
        let is_ours = fs::metadata(self.path("mem")).is_ok_and(|mem| mem.uid() == rights.user);
        // With links it is asked for the right to look, but not for that to the files' modes.
        let is_shown = fs::read_link(self.path("exe")).is_ok();
        let needed: &[Capability] = match (is_shown, is_ours) {
            // To look is not enough for its memory, where Yama restricts that.
            (_, true) => &[Capability::SysPtrace],
            (true, false) => &[Capability::DacReadSearch],
            (false, false) => &[Capability::SysPtrace, Capability::DacReadSearch],
        };
        rights.missing(needed)
    }
}

/// The number behind a field's name in `/proc/PID/status`.
pub(super) fn number_after(status: &str, field: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix(field))?.trim().parse().ok()
}

/// A value of the auxiliary vector: pairs of words.
pub(super) fn aux_value(auxv: &[u8], key: u64) -> Option<u64> {
    let word = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    auxv.chunks_exact(16).find(|pair| word(&pair[..8]) == Some(key)).and_then(|pair| word(&pair[8..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_wrong_number_has_its_own_message() {
        assert!(matches!(Process::find("4294967295"), Err(ProcessError::Gone { .. })));
        assert!(matches!(Process::find("no such program"), Err(ProcessError::NoneNamed { .. })));
        assert!(matches!(Process::find("2"), Err(ProcessError::Kernel { .. } | ProcessError::Gone { .. })));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let zombie = loop {
            match Process::find(&child.id().to_string()) {
                Err(error) => break error,
                Ok(_) => thread::yield_now(),
            }
        };
        assert!(matches!(zombie, ProcessError::Zombie { .. }), "{zombie}");
        child.wait().unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: gettid has no preconditions.
                let tid = unsafe { libc::gettid() };
                Process::find(&tid.to_string()).map(drop)
            });
            let error = thread.join().unwrap().unwrap_err();
            assert!(matches!(error, ProcessError::Thread { .. }), "{error}");
        });
    }

    #[test]
    fn a_program_is_found_by_the_path_of_its_binary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sleeper");
        fs::copy("/bin/sleep", &path).unwrap();
        let find = |path: &Path| Process::find(path.to_str().unwrap());
        assert!(matches!(find(&path), Err(ProcessError::NoneRuns { .. })));
        let start = || std::process::Command::new(&path).arg("60").spawn().unwrap();
        let mut first = start();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            let process = find(path).unwrap();
            assert_eq!(
                (process.pid, process.exe_is_deleted(), process.notes().len()),
                (first.id(), false, 0)
            );
        }
        let mut second = start();
        assert!(matches!(find(&path), Err(ProcessError::SeveralRun { pids, .. }) if pids.len() == 2));
        second.kill().unwrap();
        second.wait().unwrap();
        // Another file in its place: the one that runs has no path any more.
        let other = folder.path().join("other");
        fs::copy("/bin/true", &other).unwrap();
        fs::rename(&other, &path).unwrap();
        let process = find(&path).unwrap();
        assert_eq!((process.pid, process.exe_is_deleted()), (first.id(), true));
        assert!(process.notes()[0].contains("deleted or replaced"), "{:?}", process.notes());
        first.kill().unwrap();
        first.wait().unwrap();
    }

    #[test]
    fn a_process_that_ends_is_gone_and_no_other() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::find(&child.id().to_string()).unwrap();
        process.stat().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let error = process.stat().unwrap_err();
        assert!(matches!(error, ProcessError::Gone { .. }), "{error}");
    }
}
