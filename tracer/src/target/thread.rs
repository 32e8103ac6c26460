//! What one thread of a process is doing, as the kernel tells.

use std::fs;
use std::path::{Path, PathBuf};

use super::process::Process;
use super::stat::Stat;
use crate::units::{Nanos, boot_clock};

/// More threads than Go makes by itself (`sched.maxmcount`).
const MOST_THREADS: usize = 10_000;

/// A thread at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadState {
    /// Its number, as gotrace's own PID namespace counts.
    pub tid: u32,
    /// As in [`Stat::state`].
    pub state: char,
    /// The system call that it is in, when it waits in one.
    pub syscall: Option<SystemCall>,
    /// The kernel function that it sleeps in, when the kernel tells.
    pub wchan: Option<String>,
    /// Since when it has not been on a processor, on the boot clock; none while it runs, and where the kernel
    /// does not tell (`CONFIG_SCHED_DEBUG`).
    pub off_cpu_since: Option<Nanos>,
}

/// A system call that has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCall {
    /// Its number.
    pub number: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

impl Process {
    /// A thread's state; none when there is no such thread any more.
    #[must_use]
    pub fn thread(&self, tid: u32) -> Option<ThreadState> {
        let folder = self.path("task").join(tid.to_string());
        let stat = Stat::parse(&fs::read(folder.join("stat")).ok()?)?;
        let sleeps = matches!(stat.state, 'S' | 'D' | 'T' | 't' | 'I');
        Some(ThreadState {
            tid,
            state: stat.state,
            syscall: fs::read_to_string(folder.join("syscall")).ok().and_then(|text| system_call(&text)),
            wchan: fs::read_to_string(folder.join("wchan"))
                .ok()
                .filter(|name| !name.is_empty() && name != "0"),
            off_cpu_since: stat.processor.filter(|_| sleeps).and_then(|cpu| off_cpu_since(&folder, cpu)),
        })
    }

    /// The thread that the process itself knows under that number: in a PID namespace of its own, threads have
    /// another number there than here.
    #[must_use]
    pub fn thread_known_as(&self, procid: u64) -> Option<u32> {
        let innermost = |folder: &Path| innermost_number(&fs::read_to_string(folder.join("status")).ok()?);
        let here = u32::try_from(procid).ok()?;
        let tasks = self.path("task");
        // Nearly always it is the same.
        if innermost(&tasks.join(here.to_string())) == Some(procid) {
            return Some(here);
        }
        let threads = fs::read_dir(&tasks).ok()?.flatten().take(MOST_THREADS);
        threads
            .map(|entry| entry.path())
            .find(|folder| innermost(folder) == Some(procid))
            .and_then(|folder| folder.file_name()?.to_str()?.parse().ok())
    }
}

/// The number that a thread's `status` has for the innermost of the PID namespaces that it is in.
pub(super) fn innermost_number(status: &str) -> Option<u64> {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().last()?.parse().ok()
}

/// `/proc/PID/task/TID/syscall`: `running`, or `-1 SP PC` outside a call, or the number, six arguments, SP and
/// PC (fs/proc/base.c, `proc_pid_syscall`).
pub(super) fn system_call(text: &str) -> Option<SystemCall> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    Some(SystemCall { number, arguments })
}

/// `se.exec_start` is the moment when the scheduler last counted the thread's time on a processor: for a thread
/// that sleeps, when it left it (kernel/sched/fair.c, `update_curr`). That moment is on a clock of the
/// processor's own, so gotrace goes to the same processor and compares with itself.
fn off_cpu_since(folder: &Path, processor: usize) -> Option<Nanos> {
    let its = exec_start(&folder.join("sched"))?;
    let _there = OnProcessor::go(processor)?;
    // The scheduler counts our own time when we offer the processor to others.
    std::thread::yield_now();
    let ours = exec_start(&PathBuf::from("/proc/thread-self/sched"))?;
    let ago = ours.checked_sub(its)?;
    Some(Nanos(boot_clock().0.checked_sub(ago)?))
}

fn exec_start(path: &Path) -> Option<u64> {
    exec_start_in(&fs::read_to_string(path).ok()?)
}

pub(super) fn exec_start_in(sched: &str) -> Option<u64> {
    let line = sched.lines().find_map(|line| line.strip_prefix("se.exec_start"))?;
    // Milliseconds with six digits behind the point.
    let (whole, part) = line.trim_start_matches([' ', ':']).trim().split_once('.')?;
    if part.len() != 6 {
        return None;
    }
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(part.parse().ok()?)
}

/// Keeps the current thread on one processor; when dropped, it may go where it might before.
struct OnProcessor(libc::cpu_set_t);

impl OnProcessor {
    fn go(processor: usize) -> Option<Self> {
        if processor >= libc::CPU_SETSIZE as usize {
            return None;
        }
        // SAFETY: a set of processors is plain bits, and none set is a valid one.
        let (mut before, mut only): (libc::cpu_set_t, libc::cpu_set_t) = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::cpu_set_t>();
        // SAFETY: `before` is writable and that large; 0 is the current thread.
        if unsafe { libc::sched_getaffinity(0, size, &raw mut before) } != 0 {
            return None;
        }
        // SAFETY: the number is smaller than the set.
        unsafe { libc::CPU_SET(processor, &mut only) };
        // SAFETY: `only` is readable and that large.
        let went = unsafe { libc::sched_setaffinity(0, size, &raw const only) } == 0;
        went.then_some(Self(before))
    }
}

impl Drop for OnProcessor {
    fn drop(&mut self) {
        // SAFETY: the set is readable and that large.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_with_its_arguments() {
        let call = system_call("0 0x3 0x7f00 0x20 0x0 0xffffffff 0x0 0x7fff 0x7f0c\n").unwrap();
        assert_eq!((call.number, call.arguments[..3].to_vec()), (0, vec![3, 0x7f00, 0x20]));
        assert_eq!(system_call("running\n"), None);
        assert_eq!(system_call("-1 0x7fff 0x7f0c\n"), None);
    }

    #[test]
    fn a_sleeping_thread_has_been_off_the_processor_since_it_began_to_sleep() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::find(&child.id().to_string()).unwrap();
        let in_sleep = || {
            process.thread(process.pid).filter(|thread| {
                thread.syscall.is_some_and(|call| {
                    [libc::SYS_clock_nanosleep, libc::SYS_nanosleep]
                        .map(i64::cast_unsigned)
                        .contains(&call.number)
                })
            })
        };
        while in_sleep().is_none() {
            std::thread::yield_now();
        }
        let before = boot_clock();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let thread = in_sleep().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let Some(since) = thread.off_cpu_since else { return };
        let apart = since.0.abs_diff(before.0);
        assert!(apart < 100_000_000, "{apart} ns between what we saw and what the scheduler says");
    }
}
