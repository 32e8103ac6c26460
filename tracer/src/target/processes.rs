//! The Go programs that run here.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::capabilities::listed;
use super::descriptor;
use super::gobin::{BinaryError, GoBinary, Linking, Machine, Support};
use super::identity::{Identity, Pod, Pods};
use super::patience::Patient;
use super::pid_namespace;
use super::process::{Process, ProcessError};

/// How long one process's files in /proc, and its executable, may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// After so many that did not answer no more are asked.
const MOST_SILENT: usize = 8;

/// A Go program that runs.
#[derive(Clone, Debug)]
pub struct GoProcess {
    /// Its number, as gotrace's own PID namespace counts.
    pub pid: u32,
    /// Its executable's path, as its own mount namespace has it.
    pub exe: PathBuf,
    /// Whether that was deleted or replaced since the process began.
    pub deleted: bool,
    /// The container and the pod that it is in, by its control group's name.
    pub identity: Identity,
    /// That pod's name, where this machine has a folder of its logs.
    pub pod: Option<Pod>,
    /// Whether it is in another PID namespace than gotrace.
    pub foreign_pids: bool,
    /// What its executable is.
    pub program: Arc<GoProgram>,
    /// Why it cannot be traced, if so.
    pub refusal: Option<String>,
}

/// What is known of a Go program, as far as it can be read.
#[derive(Clone, Debug)]
pub struct GoProgram {
    /// The Go version that built it; none when it cannot be told.
    pub version: Option<String>,
    /// Its main module, or its main package's path.
    pub module: Option<String>,
    /// How it is linked; none when it cannot be told.
    pub linking: Option<Linking>,
    /// Why it cannot be traced, if so.
    pub refusal: Option<String>,
}

/// All Go programs that run here.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    /// Those that were found, by their numbers.
    pub found: Vec<GoProcess>,
    /// How many processes may not be looked at.
    pub denied: usize,
    /// Those whose files did not answer in time.
    pub silent: Vec<u32>,
    /// How many were not asked after too many did not answer.
    pub skipped: usize,
}

/// What is known of an executable.
#[derive(Clone)]
enum Known {
    /// Somebody is reading it; should it take too long, nobody else tries.
    Reading,
    Go(Arc<GoProgram>),
    Other,
}

type Programs = Arc<Mutex<HashMap<descriptor::Identity, Known>>>;

/// What a process turned out to be.
enum Seen {
    Go(Box<GoProcess>),
    Other,
    Denied,
    Silent,
}

/// Looks at every process here. Those of which something does not answer (a file system of another machine that is
/// gone) are left behind.
#[must_use]
pub fn go_processes() -> Processes {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let mut processes = look_at(&pids, PATIENCE, look);
    let mut pods = Pods::default();
    for process in &mut processes.found {
        process.pod = process.identity.pod_uid.as_deref().and_then(|uid| pods.of(uid)).cloned();
    }
    processes
}

fn look_at(
    pids: &[u32],
    patience: Duration,
    look: impl Fn(&Programs, u32) -> Seen + Copy + Send + 'static,
) -> Processes {
    let programs = Programs::default();
    let mut result = Processes::default();
    let start = || {
        let programs = programs.clone();
        Patient::start(move |pid| look(&programs, pid))
    };
    let mut looker = start();
    for (index, pid) in pids.iter().enumerate() {
        let seen = if looker.ask(*pid) { looker.answer(patience) } else { None };
        match seen.unwrap_or(Seen::Silent) {
            Seen::Go(process) => result.found.push(*process),
            Seen::Other => {}
            Seen::Denied => result.denied += 1,
            Seen::Silent => {
                result.silent.push(*pid);
                if result.silent.len() >= MOST_SILENT {
                    result.skipped = pids.len() - index - 1;
                    break;
                }
                looker = start();
            }
        }
    }
    result
}

fn look(programs: &Programs, pid: u32) -> Seen {
    // Threads of the kernel and what has ended are none.
    let Ok(process) = Process::of_pid(pid) else { return Seen::Other };
    let Some(identity) = process.exe_identity() else { return Seen::Denied };
    let known = programs.lock().unwrap_or_else(PoisonError::into_inner).insert(identity, Known::Reading);
    let known = match known {
        // It still does; who reads it was left behind.
        Some(Known::Reading) => return Seen::Silent,
        Some(known) => known,
        None => match process.open_exe() {
            Ok(file) => read(file, process.exe()),
            Err(_) => Known::Other,
        },
    };
    programs.lock().unwrap_or_else(PoisonError::into_inner).insert(identity, known.clone());
    let Known::Go(program) = known else { return Seen::Other };
    let refusal = program.refusal.clone().or_else(|| match process.memory().err()? {
        // How to get it is for all of them the same.
        ProcessError::Denied { missing, .. } if !missing.is_empty() => {
            Some(format!("{} missing", listed(&missing)))
        }
        error => Some(error.to_string()),
    });
    Seen::Go(Box::new(GoProcess {
        pid,
        deleted: process.exe_is_deleted(),
        exe: process.exe(),
        identity: process.identity(),
        pod: None,
        foreign_pids: process.pid_namespace().ok() != pid_namespace::current().ok(),
        program,
        refusal,
    }))
}

fn read(file: File, path: PathBuf) -> Known {
    let unreadable = |version, error: &BinaryError| {
        let refusal = Some(error.to_string());
        Known::Go(Arc::new(GoProgram { version, module: None, linking: None, refusal }))
    };
    match GoBinary::from_file(file, path) {
        Ok(binary) => Known::Go(Arc::new(GoProgram {
            version: Some(binary.version().to_string()),
            module: binary
                .build_info()
                .and_then(|info| info.main_module().or(info.path.as_deref()).map(str::to_owned)),
            linking: Some(binary.linking().clone()),
            refusal: refusal(&binary),
        })),
        Err(error) => match &error {
            BinaryError::TooOld { version, .. } => unreadable(Some(version.clone()), &error),
            BinaryError::Malformed { .. } | BinaryError::Unsupported { .. } => unreadable(None, &error),
            _ => Known::Other,
        },
    }
}

/// Why a program cannot be traced on this machine.
fn refusal(binary: &GoBinary) -> Option<String> {
    let version = binary.version();
    if binary.machine() != Machine::HOST {
        return Some(format!("built for {}, and runs here by emulation", binary.machine()));
    }
    match binary.support() {
        Support::TooOld | Support::TooNew => {
            Some(format!("gotrace knows Go 1.19 to 1.27, and not {version}"))
        }
        Support::Full if binary.runtime_layout().is_none() => {
            Some(format!("where {version} keeps what in its goroutines is not known"))
        }
        Support::Full => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn hangs(programs: &Programs, pid: u32) -> Seen {
        // Every fourth is stuck, as reading from a file system that is gone.
        if pid.is_multiple_of(4) {
            drop(programs.lock());
            std::thread::sleep(Duration::from_secs(3600));
        }
        Seen::Denied
    }

    #[test]
    fn what_does_not_answer_is_left_behind() {
        let seen = look_at(&[1, 2, 3, 4, 5, 6, 7, 8, 9], SHORT, hangs);
        assert_eq!((seen.denied, seen.silent, seen.skipped), (7, vec![4, 8], 0));
        let all: Vec<u32> = (1..=100).collect();
        let seen = look_at(&all, SHORT, hangs);
        assert_eq!((seen.denied, seen.silent.len(), seen.skipped), (24, MOST_SILENT, 68));
    }

    #[test]
    fn a_program_that_could_not_be_read_in_time_is_not_read_again() {
        let programs = Programs::default();
        let own = std::process::id();
        let identity = Process::of_pid(own).unwrap().exe_identity().unwrap();
        programs.lock().unwrap().insert(identity, Known::Reading);
        assert!(matches!(look(&programs, own), Seen::Silent));
        programs.lock().unwrap().remove(&identity);
        assert!(matches!(look(&programs, own), Seen::Other));
        assert!(matches!(programs.lock().unwrap()[&identity], Known::Other));
        assert!(matches!(look(&programs, own), Seen::Other));
    }
}
