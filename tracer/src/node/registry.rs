//! The processes that run and are looked at.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

use super::program::Program;
use super::usage::Usage;
use super::workload::Workload;
use crate::target::descriptor::Identity as FileId;
use crate::target::pidfd::pidfd_of;
use crate::target::process::Process;
#[cfg(feature = "otlp")]
use crate::units::wall_clock_at;

/// A process that runs.
#[derive(Debug)]
pub struct Running {
    /// It, and no other that is given its number.
    pub process: Arc<Process>,
    /// What it runs.
    pub(super) program: Arc<Program>,
    /// Which file that is in.
    pub(super) file: FileId,
    /// That, and where.
    pub workload: Workload,
    /// When it began, in nanoseconds since 1970; none when it had ended by then.
    #[cfg(feature = "otlp")]
    pub(super) began: Option<u64>,
    /// What it has, as it was when somebody asked last.
    pub usage: Usage,
    ended: OwnedFd,
    order: u64,
}

/// As many as there is room for.
#[derive(Debug)]
pub struct Registry {
    running: HashMap<u32, Running>,
    most: usize,
    next: u64,
    /// How many were given up for others while they ran.
    pub evicted: u64,
}

impl Registry {
    /// For so many at most.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { running: HashMap::new(), most: most.max(1), next: 0, evicted: 0 }
    }

    /// Adds one, unless it has ended. When there are too many, the one goes that came first.
    pub(super) fn add(
        &mut self,
        process: Arc<Process>,
        program: Arc<Program>,
        file: FileId,
        workload: Workload,
    ) {
        let pid = process.pid;
        // The descriptor is of who has the number now, and that is it if it still runs afterwards.
        let Ok(ended) = pidfd_of(pid) else { return };
        if process.has_ended() {
            return;
        }
        if !self.running.contains_key(&pid) && self.running.len() >= self.most {
            let oldest = self.running.iter().min_by_key(|(_, running)| running.order).map(|(pid, _)| *pid);
            if oldest.and_then(|pid| self.running.remove(&pid)).is_some() {
                self.evicted += 1;
            }
        }
        self.next += 1;
        let running = Running {
            #[cfg(feature = "otlp")]
            began: process.stat().ok().map(|stat| wall_clock_at(stat.start)),
            process,
            program,
            file,
            workload,
            usage: Usage::default(),
            ended,
            order: self.next,
        };
        self.running.insert(pid, running);
    }

    /// Whether the process of that number is in it.
    #[must_use]
    pub fn has(&self, pid: u32) -> bool {
        self.running.contains_key(&pid)
    }

    /// The process of that number.
    #[must_use]
    pub fn get(&self, pid: u32) -> Option<&Running> {
        self.running.get(&pid)
    }

    /// Takes those out that have ended, by one call for all.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn reap(&mut self) -> io::Result<()> {
        let pids: Vec<u32> = self.running.keys().copied().collect();
        let mut polled: Vec<libc::pollfd> = pids
            .iter()
            .map(|pid| libc::pollfd {
                fd: self.running[pid].ended.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        let count = libc::nfds_t::try_from(polled.len()).map_err(io::Error::other)?;
        // SAFETY: the array has so many elements, which the kernel writes to.
        if unsafe { libc::poll(polled.as_mut_ptr(), count, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        for (pid, _) in pids.iter().zip(&polled).filter(|(_, polled)| polled.revents != 0) {
            self.running.remove(pid);
        }
        Ok(())
    }

    /// How many run, by workload.
    #[must_use]
    pub fn by_workload(&self) -> Vec<(&Workload, u64)> {
        let mut counts: HashMap<&Workload, u64> = HashMap::new();
        for running in self.running.values() {
            *counts.entry(&running.workload).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort();
        counts
    }

    /// What a process has.
    pub fn note(&mut self, process: &Arc<Process>, usage: Usage) {
        let running = self.running.get_mut(&process.pid);
        // Another one may have its number by now.
        if let Some(running) = running.filter(|running| Arc::ptr_eq(&running.process, process)) {
            running.usage = usage;
        }
    }

    /// Those that run, by their numbers.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Running> {
        let mut all: Vec<_> = self.running.values().collect();
        all.sort_by_key(|running| running.process.pid);
        all
    }

    /// Those that run.
    pub fn iter(&self) -> impl Iterator<Item = &Running> {
        self.running.values()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> (Child, Arc<Process>) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Arc::new(Process::of_pid(child.id()).unwrap());
        (child, process)
    }

    #[test]
    fn who_ended_goes_and_who_is_one_too_many() {
        let mut sleepers: Vec<_> = (0..3).map(|_| sleeper()).collect();
        let program = Arc::new(Program::of_nothing());
        let file = FileId { device: (0, 0), inode: 1 };
        let mut registry = Registry::new(2);
        for (_, process) in &sleepers {
            registry.add(process.clone(), program.clone(), file, Workload::default());
        }
        assert!(!registry.has(sleepers[0].0.id()) && registry.has(sleepers[2].0.id()));
        assert_eq!(registry.evicted, 1);
        sleepers[1].0.kill().unwrap();
        sleepers[1].0.wait().unwrap();
        registry.reap().unwrap();
        assert_eq!(registry.by_workload(), [(&Workload::default(), 1)]);
        // One that has ended is not added, whoever has its number.
        registry.add(sleepers[1].1.clone(), program, file, Workload::default());
        assert_eq!(registry.iter().count(), 1);
        for (child, _) in &mut sleepers {
            child.kill().ok();
            child.wait().unwrap();
        }
    }
}
