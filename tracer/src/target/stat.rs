//! `/proc/PID/stat` and `/proc/PID/task/TID/stat` (fs/proc/array.c, `do_task_stat`), and `/proc/PID/statm`.

use std::fs;

use super::process::Process;
use crate::units::Nanos;

/// What the kernel counts of a process or a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its name: the program's at first, of at most 15 bytes.
    pub name: String,
    /// What it is doing: `R` runs or waits for a processor, `S` and `D` sleep, `T` is stopped, `Z` has ended.
    pub state: char,
    /// `PF_…` (include/linux/sched.h).
    pub flags: u64,
    /// Page faults that needed no I/O, since it began.
    pub minor_faults: u64,
    /// Page faults that did.
    pub major_faults: u64,
    /// Time on a processor in the program, in steps of 10 ms.
    pub user: Nanos,
    /// Time on a processor in the kernel, in steps of 10 ms.
    pub system: Nanos,
    /// How many threads the process has.
    pub threads: u64,
    /// When it began, on the boot clock, in steps of 10 ms.
    pub start: Nanos,
    /// The processor that it ran on last.
    pub processor: Option<usize>,
}

impl Stat {
    /// Parses the file's one line; none when it is not one.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = String::from_utf8_lossy(line);
        // The name may hold anything, also brackets; what follows its last one does not.
        let (before, rest) = line.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // proc(5) counts from one, and the name is the second.
        let number = |field: usize| fields.get(field.checked_sub(3)?)?.parse::<u64>().ok();
        let time = |field: usize| Some(Nanos(number(field)?.saturating_mul(1_000_000_000 / ticks())));
        Some(Self {
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
            flags: number(9)?,
            minor_faults: number(10)?,
            major_faults: number(12)?,
            user: time(14)?,
            system: time(15)?,
            threads: number(20)?,
            start: time(22)?,
            processor: number(39).and_then(|processor| usize::try_from(processor).ok()),
        })
    }
}

impl Process {
    /// How many bytes of its memory are in the machine's; none when it has ended. The kernel's count is behind by up to
    /// some dozens of pages a CPU.
    #[must_use]
    pub fn resident(&self) -> Option<u64> {
        resident_pages(&fs::read_to_string(self.path("statm")).ok()?)?.checked_mul(page_size())
    }

    /// How many descriptors it has open; none when it has ended, or may not be looked into.
    #[must_use]
    pub fn open_descriptors(&self) -> Option<u64> {
        let folder = self.path("fd");
        match fs::metadata(&folder).ok()?.len() {
            // From Linux 6.2 on their number is the folder's size (fs/proc/fd.c, `proc_readfd_count`).
            0 => u64::try_from(fs::read_dir(folder).ok()?.count()).ok(),
            count => Some(count),
        }
    }
}

/// The second of proc_pid_statm(5).
pub(super) fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn page_size() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096)
}

/// How many of the kernel's ticks a second has.
fn ticks() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).ok().filter(|ticks| (1..=1_000_000).contains(ticks)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_is_a_name() {
        let line = b"7 (a) b) S 1 7 7 0 -1 4194304 11 0 2 0 3 4 0 0 20 0 5 0 600 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 1 0 0\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.flags), ("a) b", 'S', 4_194_304));
        assert_eq!((stat.minor_faults, stat.major_faults, stat.threads), (11, 2, 5));
        assert_eq!((stat.user, stat.system), (Nanos(30_000_000), Nanos(40_000_000)));
        assert_eq!((stat.start, stat.processor), (Nanos(6_000_000_000), Some(17)));
        assert_eq!(Stat::parse(b"7 (a"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn resident_memory_is_the_second_number() {
        assert_eq!(resident_pages("300 17 4 1 0 90 0\n"), Some(17));
        for statm in ["", "300", "300 many"] {
            assert_eq!(resident_pages(statm), None, "{statm}");
        }
        let own = Process::of_pid(std::process::id()).unwrap();
        assert!(own.resident().unwrap() > 100_000);
        let before = own.open_descriptors().unwrap();
        // Other tests open and close some as well.
        let opened: Vec<_> = (0..500).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let after = own.open_descriptors().unwrap();
        assert!((before + 300..before + 700).contains(&after), "{before}, {} more, {after}", opened.len());
    }
}
